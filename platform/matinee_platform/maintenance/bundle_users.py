"""Which experiments have decided with a bundle: it must stay what it was for as long as they are.

Learning and replay begin with the state, the settings and the catalogue of the bundle; with others
in their place the arm learns no more, and what was logged cannot be taken again.
"""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import inspect

from matinee_platform.clock import SystemClock
from matinee_platform.experiments.lifecycle import State, StoredExperiment
from matinee_platform.learning.learner_status import STATUS_FILE
from matinee_platform.serving.bundle import MANIFEST, bundle_folder
from matinee_platform.serving.errors import BundleError
from matinee_platform.storage.control_database import (
    CONTROL_FILE,
    control_url,
    open_engine,
    open_to_read,
    reading,
)
from matinee_platform.storage.control_store import ControlStore
from matinee_platform.storage.event_log import SPOOL_FOLDER
from matinee_platform.storage.schema_version import VERSION_TABLES


def refuse_replacement(data_dir: Path, names: Sequence[str], *, database: str) -> None:
    """Refuse to replace bundles that experiments have decided with.

    Args:
        data_dir: data folder of the service.
        names: of the bundles that are to be replaced, where they are there.
        database: of the service.

    Raises:
        BundleError: naming the experiments and their arms; or a service with another database has
            run on this folder.
        ConfigError: the tables of the service are of another version.
        LogUnavailableError: its database is away.
    """
    there = {name for name in names if (bundle_folder(data_dir, name) / MANIFEST).is_file()}
    if not there:
        return
    if database == "sqlite" and not (data_dir / CONTROL_FILE).is_file():
        if (data_dir / SPOOL_FOLDER).exists() or (data_dir / STATUS_FILE).exists():
            raise BundleError(
                f"bundles of {data_dir} are replaced only if no experiment began with them: give "
                "--database, as its service has it"
            )
        return
    found = _experiments(control_url(data_dir, database))
    for name in sorted(there):
        users = [
            f"{one.definition.key}/{arm.name} ({one.state})"
            for one in found
            if one.state is not State.CREATED
            for arm in one.definition.arms
            if arm.bundle == name
        ]
        if users:
            raise BundleError(
                f"bundle {name!r} must stay as it is, or what was logged with it could not be "
                f"taken again: {', '.join(users)} began with it; deploy under another name "
                "(--as) and create an experiment with that"
            )


def _experiments(url: str) -> list[StoredExperiment]:
    """All of them; none where no service ever started."""
    engine = open_engine(url)
    try:
        with reading(engine) as session:
            if not inspect(session.connection()).has_table(VERSION_TABLES["control"]):
                return []
    finally:
        engine.dispose()
    engine = open_to_read(url)
    try:
        return ControlStore(engine, clock=SystemClock()).experiments()
    finally:
        engine.dispose()
