"""Find a decision in the log of a run and explain it, from the run's folder alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from matinee_platform.decision_log import read_parts
from matinee_platform.engine import catalogue_number
from matinee_platform.explain import ExplainedDecision, explain_slate
from matinee_platform.json_file import read_json
from matinee_platform.log_rows import SERVED_BY_POLICY
from matinee_platform.log_schema import column_values
from matinee_platform.logged_contexts import logged_contexts
from matinee_platform.offline.arm_state import arm_secret
from matinee_platform.offline.child_processes import one_blas_thread
from matinee_platform.serving_model import ServingModel, load_serving_model
from matinee_platform.settings import ArmSettings, ExperimentSettings, parse_settings
from matinee_platform.storage.records import ServedBy
from matinee_platform.verify import ArmSnapshots, policy_in_settings
from matinee_policies.arrays import AnyArray
from matinee_policies.catalogue import Catalogue
from matinee_policies.errors import ConfigError, DataError
from matinee_policies.features import FEATURE_VERSION


@dataclass(frozen=True, slots=True)
class RunExplanation:
    """A logged decision of a run, explained, with the names of what it is about.

    Attributes:
        decision: with its explanation.
        catalogue: of the run.
    """

    decision: ExplainedDecision
    catalogue: Catalogue


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a decision stands: arm, day, row group of the day's part, row of the group."""

    arm: str
    day: int
    group: int
    row: int


def explain_logged(
    run: Path, decision_id: int | None, *, arms: Sequence[str] = ()
) -> RunExplanation:
    """Explain one decision of a run, by the snapshot that chose it.

    The settings decide which of the user's own modules are imported, so explain only runs whose
    settings you trust.

    Args:
        run: folder of the run.
        decision_id: within 0 and 2^64 - 1; None for the latest decision.
        arms: names of the arms to look into; all if none is given.

    Raises:
        MatineeError: if the folder holds no run, no such arm or no such decision, or a file of it
            is damaged.
    """
    path = run / "settings.json"
    if not path.is_file():
        raise DataError(path, rule="must exist; the folder holds no run")
    settings = parse_settings(read_json(path), origin=str(path))
    wanted = _arms(settings, arms)
    if decision_id is None:
        place = _latest(run, wanted, settings.days)
    else:
        place = _find(run, wanted, settings.days, decision_id)
    if place is None:
        names = ", ".join(arm.name for arm in wanted)
        told = "" if decision_id is None else f" {decision_id:016x}"
        raise ConfigError(f"{run}: the log of {names} holds no decision{told}")
    (arm,) = (arm for arm in wanted if arm.name == place.arm)
    model = load_serving_model(run / "model")
    with one_blas_thread():
        decision = _explained(run, settings, arm, model, place)
    return RunExplanation(decision, model.catalogue)


def _arms(settings: ExperimentSettings, names: Sequence[str]) -> list[ArmSettings]:
    known = [arm.name for arm in settings.arms]
    for name in names:
        if name not in known:
            raise ConfigError(f"arm must be one of {', '.join(known)}, got {name!r}")
    return [arm for arm in settings.arms if not names or arm.name in names]


def _explained(
    run: Path,
    settings: ExperimentSettings,
    arm: ArmSettings,
    model: ServingModel,
    place: _Place,
) -> ExplainedDecision:
    groups = enumerate(read_parts(run, "decisions", arm.name, day=place.day))
    table = next(table for group, table in groups if group == place.group).slice(place.row, 1)
    row = {name: values[0] for name, values in column_values(table).items()}
    for name, here in (
        ("feature_version", FEATURE_VERSION),
        ("catalogue_version", catalogue_number(model.items)),
    ):
        if int(row[name]) != here:
            raise DataError(
                run / "decisions" / arm.name,
                rule=f"{name} of the decision must be {here}",
                value=int(row[name]),
            )
    snapshots = ArmSnapshots(run / "snapshots" / arm.name, policy_in_settings(run, arm.name))
    decision_id, version = int(row["decision_id"]), int(row["snapshot"])
    served_by = ServedBy.POLICY if row["served_by"] == SERVED_BY_POLICY else ServedBy.FALLBACK
    explanation = explain_slate(
        row["slate"],
        row["propensities"],
        decision_id=decision_id,
        served_by=served_by,
        context=logged_contexts(table, model.contexts(arm.name)),
        policy=snapshots.policy(version),
        secret=arm_secret(settings, arm),
    )
    return ExplainedDecision(
        decision_id=decision_id,
        arm=arm.name,
        unit=int(row["unit"]),
        day=int(row["day"]),
        page=int(row["page"]),
        decided_at=int(row["decided_at"]),
        snapshot=version,
        served_by=served_by,
        explanation=explanation,
    )


def _find(run: Path, arms: list[ArmSettings], days: int, decision_id: int) -> _Place | None:
    for arm in arms:
        for day in range(days):
            for group, ids in _column(run, arm.name, day, "decision_id"):
                rows = np.flatnonzero(ids == np.uint64(decision_id))
                if rows.size:
                    return _Place(arm.name, day, group, int(rows[0]))
    return None


def _latest(run: Path, arms: list[ArmSettings], days: int) -> _Place | None:
    """The decision decided last; of those of one moment, the last one of the log's first arm."""
    best, place = -1, None
    for arm in arms:
        for day in reversed(range(days)):
            found = list(_column(run, arm.name, day, "decided_at"))
            for group, times in found:
                row = times.size - 1 - int(times[::-1].argmax())
                if int(times[row]) > best:
                    best, place = int(times[row]), _Place(arm.name, day, group, row)
            if found:
                break
    return place


def _column(run: Path, arm: str, day: int, name: str) -> Iterator[tuple[int, AnyArray]]:
    """One column of a day, by row group; groups without rows are left out."""
    tables: Iterator[pa.Table] = read_parts(run, "decisions", arm, [name], day=day)
    for group, table in enumerate(tables):
        if table.num_rows:
            yield group, column_values(table)[name]
