"""What the units of a past experiment did: of a finished run, or of a service's database."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from matinee_platform.analysis.unit_days.records import UnitDays
    from matinee_platform.analysis_settings import AnalysisSettings

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database", metavar="URL", help="PostgreSQL of a service: postgresql://USER@HOST/NAME"
    ),
]
ExperimentOption = Annotated[
    str | None,
    typer.Option(
        "--experiment", metavar="KEY", help="Which one of a service; needed if it has several."
    ),
]


@dataclass(frozen=True, slots=True)
class PastUnits:
    """A past experiment.

    Attributes:
        units: sums by unit and day.
        control: name of its arm.
        settings: what it declared of its analysis.
    """

    units: "UnitDays"
    control: str
    settings: "AnalysisSettings"


def past_units(folder: Path | None, *, database: str | None, experiment: str | None) -> PastUnits:
    """Sums by unit and day, and what the experiment declared.

    Args:
        folder: of a run, or the data folder of a service.
        database: of a service, instead of a folder.
        experiment: of a service.

    Raises:
        ConfigError: without either or with both, or an experiment for a run.
    """
    from matinee_platform.service.settings_file import is_service_folder
    from matinee_policies.errors import ConfigError

    if (folder is None) == (database is None):
        raise ConfigError("give a folder, or the database of a service: --database URL")
    if folder is not None and not is_service_folder(folder):
        from matinee_platform.analysis.unit_days.run_log import read_run_unit_days
        from matinee_platform.run_settings import run_settings

        if experiment is not None:
            raise ConfigError("--experiment is for services; a run has one experiment")
        settings = run_settings(folder)
        return PastUnits(read_run_unit_days(folder), settings.control, settings.analysis)
    from matinee_platform.analysis.experiment.of_service import service_units
    from matinee_platform.clock import SystemClock

    data_dir, name = folder or Path(), database or "sqlite"
    found, units = service_units(data_dir, name, key=experiment, until_ms=SystemClock().now_ms())
    return PastUnits(units, found.control, found.analysis)
