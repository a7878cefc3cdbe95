"""Replay the arms of a finished run from genesis, from its folder alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from matinee_platform.decision_log import rehash
from matinee_platform.json_file import read_json
from matinee_platform.offline.arm_state import arm_secret, first_policy
from matinee_platform.offline.child_processes import one_blas_thread
from matinee_platform.offline.prepare import load_initial
from matinee_platform.offline.results import read_results
from matinee_platform.replay import ArmReplay, replay_arm
from matinee_platform.serving_model import load_serving_model
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_policies.errors import ConfigError


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
    results, settings = read_results(run), _settings_of(run)
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
            wanted = results["arm_runs"][arm.name]
            logged = rehash(run, arm.name, days=settings.days)
            found.complete = logged == (wanted["pages"], wanted["log_hash"])
            yield found


def _settings_of(run: Path) -> ExperimentSettings:
    path = run / "settings.json"
    return parse_settings(read_json(path), origin=str(path))
