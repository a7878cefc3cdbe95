"""Find the log that is meant: of a run, or of a service that may be running."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from matinee_platform.clock import SystemClock
from matinee_platform.learning.service_arms import open_stores
from matinee_platform.ope.inputs.open_actions import log_form
from matinee_platform.ope.inputs.policy_log import PolicyLog
from matinee_platform.ope.inputs.run_log import run_arms, run_log
from matinee_platform.ope.inputs.service_log import service_experiment, service_log
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.service.settings_file import is_service_folder, settings_of_folder
from matinee_policies.errors import ConfigError, DataError


@contextmanager
def open_log(
    log: str | Path | ServiceSettings,
    *,
    arm: str | None = None,
    experiment: str | None = None,
    component: str = "value",
) -> Iterator[PolicyLog]:
    """The log of one arm; arguments and errors as `open_logs`, of whose arms there must be one.

    Raises:
        ConfigError: also without an arm where there are several.
    """
    with open_logs(
        log, arms=() if arm is None else (arm,), experiment=experiment, component=component
    ) as found:
        if len(found) != 1:
            names = ", ".join(one.arm for one in found)
            raise ConfigError(f"log must be of one arm, {log} has {names}: name one")
        yield found[0]


@contextmanager
def open_logs(
    log: str | Path | ServiceSettings,
    *,
    arms: tuple[str, ...] = (),
    experiment: str | None = None,
    component: str = "value",
) -> Iterator[list[PolicyLog]]:
    """The logs of some arms, for as long as the context lasts.

    Args:
        log: folder of a run, `RUN:ARM`, data folder of a service of the SQLite tier, or the
            settings of a service.
        arms: whose; all whose logs can be weighed if none is named.
        experiment: of a service with several.
        component: of the reward.

    Raises:
        ConfigError: if there is no such log, arm or experiment.
        DataError: if a log cannot be read.
        MatineeError: if an arm's policy cannot be restored.
    """
    with ExitStack() as stack:
        settings = log if isinstance(log, ServiceSettings) else None
        if settings is None and is_service_folder(Path(str(log))):
            settings = settings_of_folder(Path(str(log)))
        if settings is None:
            run, arms = _run_and_arms(str(log), arms)
            if experiment is not None:
                raise ConfigError("--experiment is for services; a run has one experiment")
            yield [run_log(run, arm, component=component) for arm in arms]
            return
        stores = stack.enter_context(open_stores(settings, clock=SystemClock()))
        found = service_experiment(stores, experiment)
        yield [
            service_log(stores, arm=arm, experiment=found.key, component=component)
            for arm in arms or tuple(one.name for one in found.arms)
        ]


def _run_and_arms(text: str, arms: tuple[str, ...]) -> tuple[Path, tuple[str, ...]]:
    if (Path(text) / "settings.json").is_file():
        return Path(text), arms or run_arms(Path(text))
    folder, colon, arm = text.rpartition(":")
    if colon and (Path(folder) / "settings.json").is_file():
        if arms and arms != (arm,):
            raise ConfigError(f"log {text} names its arm, got {', '.join(arms)} besides")
        return Path(folder), (arm,)
    inside = _log_inside(Path(text))
    hint = f"; it holds folders of logs, name one, such as {inside}" if inside else ""
    raise ConfigError(
        "log must be a run, RUN:ARM or the data folder of a service (of matinee ope also a file or "
        f"folder of a log of others), got {text!r}{hint}"
    )


def _log_inside(folder: Path) -> Path | None:
    """The first log of actions in a folder of several; `matinee export` writes one for each arm."""
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    for child in (child for child in inside if child.is_dir()):
        try:
            log_form(child)
        except (DataError, OSError):
            continue
        return child
    return None
