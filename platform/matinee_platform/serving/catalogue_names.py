"""Names of items by the catalogue that a decision was made with, not by the one of now.

A bundle may be replaced by one of another catalogue. Rows of decisions from before it count within
the catalogue that they name, so its names are kept as long as the process lives; after a restart
they come from the bundle, if it still has that catalogue.
"""

from collections import OrderedDict
from collections.abc import Iterable

from matinee_platform.engine import catalogue_number
from matinee_platform.experiments.definition import HOLDOUT_ARM, LiveExperiment
from matinee_platform.serving.bundle import BundleLoader, LoadedBundle
from matinee_platform.serving.errors import BundleError, GoneError
from matinee_platform.storage.records import DecisionRecord

MOST_KEPT = 64
"""Catalogues whose names are kept."""


class CatalogueNames:
    """Names of items by the version of their catalogue.

    Args:
        bundles: gives a deployed bundle by its name.
    """

    def __init__(self, bundles: BundleLoader) -> None:
        self._bundles = bundles
        self._names: OrderedDict[int, tuple[str, ...]] = OrderedDict()
        self._definitions: dict[str, LiveExperiment] = {}

    def know(self, definitions: Iterable[LiveExperiment]) -> None:
        """Tell of experiments, those that do not run among them."""
        self._definitions = {one.key: one for one in definitions}

    def keep(self, bundle: LoadedBundle) -> None:
        """Keep the names of a bundle's catalogue, if it has one; may be called in a thread."""
        if bundle.model is not None:
            self._names[catalogue_number(bundle.model.items)] = bundle.item_ids
            if len(self._names) > MOST_KEPT:
                self._names.popitem(last=False)

    def kept(self, version: int) -> tuple[str, ...] | None:
        """The names by row; None if that catalogue is not kept."""
        return self._names.get(version)

    def find(self, record: DecisionRecord) -> tuple[str, ...]:
        """The names by row of the catalogue that a decision was made with; belongs to a thread.

        Raises:
            GoneError: the arm's bundle has another catalogue now, or is not there.
        """
        definition = self._definitions.get(record.experiment)
        name = None if definition is None else _bundle_of(definition, record.arm)
        if name is not None:
            try:
                self.keep(self._bundles(name))
            except BundleError:
                name = None
        found = self.kept(record.catalogue_version)
        if found is None:
            has = "has no bundle that can be read" if name is None else "has another catalogue now"
            raise GoneError(
                "the items of this decision have no names here any more: they are rows of a "
                f"catalogue that is gone, its arm {has}; deploy the bundle again to read it"
            )
        return found


def _bundle_of(definition: LiveExperiment, arm: str) -> str | None:
    name = definition.control if arm == HOLDOUT_ARM else arm
    return next((one.bundle for one in definition.arms if one.name == name), None)
