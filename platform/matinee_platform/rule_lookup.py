"""Find the items and genres that the page rules of the settings name.

Unknown names are refused here, before anything of a run is written.
"""

from collections.abc import Mapping

import numpy as np

from matinee_platform.page_rules import PageRules
from matinee_platform.rule_settings import ItemId, PageRuleSettings
from matinee_platform.settings import ArmSettings, ExperimentSettings
from matinee_platform.unit_interests import item_traits
from matinee_policies.arrays import BoolArray, Int64Array
from matinee_policies.catalogue import Catalogue
from matinee_policies.diversity import Caps
from matinee_policies.errors import ConfigError
from matinee_policies.records import PAD

_LEFT_OUT = -1


def page_rules(
    settings: ExperimentSettings,
    catalogue: Catalogue,
    *,
    known_items: Int64Array,
    item_labels: tuple[str, ...] = (),
) -> dict[str, PageRules]:
    """The rules of every arm that has any, by the arm's name.

    Args:
        settings: of the experiment.
        catalogue: items that can be shown.
        known_items: ids of all items of the data, `int64 [n]`.
        item_labels: the same ids as they stand in the data, where those are texts; else empty.

    Raises:
        ConfigError: naming the setting and the item or genre that is not known, that is pinned and
            excluded at once, or rules that leave too few items.
    """
    rows = _rows_by_id(catalogue, known_items, item_labels)
    found = {}
    for arm in settings.arms:
        rules = settings.rules_of(arm)
        if rules is not None:
            where = "rules" if arm.rules is None else f"arms.{arm.name}.rules"
            found[arm.name] = _resolved(rules, catalogue, rows, where=where)
            left = int((~found[arm.name].excluded).sum())
            if left < settings.candidates:
                raise ConfigError(
                    f"{where}: candidates must be at most the {left} items that the rules leave, "
                    f"got {settings.candidates}"
                )
            for caps in _caps(arm):
                _check_caps(found[arm.name], caps, catalogue, where=where, arm=arm.name)
    return found


def _caps(arm: ArmSettings) -> list[Caps]:
    """The caps of an arm's policy, and of its bases if it is made of others."""
    bases = arm.policy.get("bases") or ()
    policies = [arm.policy, *(base.get("policy") for base in bases if isinstance(base, dict))]
    given = [policy.get("caps") for policy in policies if isinstance(policy, dict)]
    return [Caps.from_json(caps) for caps in given if isinstance(caps, dict)]


def _check_caps(
    rules: PageRules, caps: Caps, catalogue: Catalogue, *, where: str, arm: str
) -> None:
    """Refuse pins that would break the caps by themselves."""
    traits = item_traits(catalogue)
    aspects = (traits.aspects[rules.pins] > 0).sum(axis=0)
    known = traits.creators[rules.pins]
    creators = np.bincount(known[known >= 0], minlength=len(catalogue.people.names))
    for name, counts, names, cap in (
        ("aspect", aspects, catalogue.genre_names, caps.aspect),
        ("creator", creators, catalogue.people.names, caps.creator),
    ):
        if cap and counts.size and int(counts.max()) > cap:
            raise ConfigError(
                f"{where}.pinned must keep within caps.{name} = {cap} of arm {arm!r}, "
                f"got {int(counts.max())} items of {names[int(counts.argmax())]!r}"
            )


def _rows_by_id(
    catalogue: Catalogue, known_items: Int64Array, item_labels: tuple[str, ...]
) -> dict[ItemId, int]:
    """Catalogue row of every item of the data, by its id there; -1 for those left out."""
    row_of = {int(number): row for row, number in enumerate(catalogue.ids)}
    numbers = [int(number) for number in known_items]
    ids: list[ItemId] = list(item_labels) if item_labels else list(numbers)
    return {name: row_of.get(number, _LEFT_OUT) for name, number in zip(ids, numbers, strict=True)}


def _resolved(
    rules: PageRuleSettings, catalogue: Catalogue, rows: Mapping[ItemId, int], *, where: str
) -> PageRules:
    excluded: BoolArray = np.zeros(len(catalogue), dtype=np.bool_)
    for item in rules.exclude_items:
        row = _row(item, rows, f"{where}.exclude_items")
        # An item of the data that too few people rated is never shown anyway.
        if row != _LEFT_OUT:
            excluded[row] = True
    for genre in rules.exclude_genres:
        if genre not in catalogue.genre_names:
            known = ", ".join(catalogue.genre_names) or "none"
            raise ConfigError(
                f"{where}.exclude_genres must be genres of the data ({known}), got {genre!r}"
            )
        excluded |= catalogue.genres[:, catalogue.genre_names.index(genre)]
    pinned = np.full(max(rules.pinned, default=-1) + 1, PAD, dtype=np.int32)
    for slot, item in rules.pinned.items():
        row = _row(item, rows, f"{where}.pinned.{slot}")
        if row == _LEFT_OUT:
            raise ConfigError(
                f"{where}.pinned.{slot} must be an item that can be shown; too few people rated "
                f"{item!r}"
            )
        if excluded[row]:
            own = ", ".join(_genres(catalogue, row))
            raise ConfigError(
                f"{where}.pinned.{slot} must not be excluded, got {item!r} with the genres {own}"
            )
        pinned[slot] = row
    return PageRules(excluded, pinned)


def _row(item: ItemId, rows: Mapping[ItemId, int], where: str) -> int:
    if item not in rows:
        example = next(iter(rows), None)
        raise ConfigError(
            f"{where} must be item ids of the data, such as {example!r}, got {item!r}"
        )
    return rows[item]


def _genres(catalogue: Catalogue, row: int) -> list[str]:
    flags = catalogue.genres[row]
    return [name for name, has in zip(catalogue.genre_names, flags, strict=True) if has]
