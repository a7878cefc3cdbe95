"""Replay the arms of a finished run from genesis, from its folder alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from matinee_platform.json_file import read_json
from matinee_platform.offline.arm_state import arm_secret, first_policy
from matinee_platform.offline.child_processes import one_blas_thread
from matinee_platform.offline.prepare import load_initial
from matinee_platform.offline.results import RESULTS
from matinee_platform.replay import ArmReplay, replay_arm
from matinee_platform.serving_model import load_serving_model
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_policies.errors import ConfigError, DataError


def replay_run(run: Path, arms: Sequence[str] = ()) -> Iterator[ArmReplay]:
    """Rebuild every snapshot from the log, arm by arm, and compare.

    The settings decide which of the user's own modules are imported, so replay only runs whose
    settings you trust.

    Args:
        run: folder of the run.
        arms: names of the arms to replay; all if none is given.

    Raises:
        MatineeError: if the folder holds no finished run or no such arm, or a file of it is
            damaged.
    """
    settings = _finished_settings(run)
    names = [arm.name for arm in settings.arms]
    for name in arms:
        if name not in names:
            raise ConfigError(f"arm must be one of {', '.join(names)}, got {name!r}")
    model, initial = load_serving_model(run / "model"), load_initial(run)
    for arm in settings.arms:
        if not arms or arm.name in arms:
            with one_blas_thread():
                found = replay_arm(
                    run,
                    arm.name,
                    settings=settings,
                    model=model,
                    policy=first_policy(arm, initial),
                    secret=arm_secret(settings, arm),
                    genesis=initial.get(arm.name),
                )
            yield found


def _finished_settings(run: Path) -> ExperimentSettings:
    if not (run / RESULTS).is_file():
        raise DataError(run / RESULTS, rule="must exist; the folder holds no finished run")
    path = run / "settings.json"
    return parse_settings(read_json(path), origin=str(path))
