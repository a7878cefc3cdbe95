"""The log of one arm of a run, day by day in bounded memory, as `policy_log` weighs it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from matinee_platform.decision_log import read_parts
from matinee_platform.engine import catalogue_number
from matinee_platform.log_rows import SERVED_BY_POLICY
from matinee_platform.log_schema import column_values, matrix
from matinee_platform.logged_contexts import logged_contexts
from matinee_platform.logged_rewards import (
    DayRewards,
    logged_days,
    longest_window,
    read_day_rewards,
)
from matinee_platform.logged_slates import slate_positions
from matinee_platform.ope.inputs.components import counted, notes_of, slot_range
from matinee_platform.ope.inputs.item_genres import main_genres
from matinee_platform.ope.inputs.policy_log import DecidedPart, PolicyLog
from matinee_platform.reward_settings import RewardSettings
from matinee_platform.run_settings import run_settings
from matinee_platform.serving_model import ServingModel, load_serving_model
from matinee_platform.verify import ArmSnapshots, policy_in_settings
from matinee_policies.errors import ConfigError, DataError
from matinee_policies.features import FEATURE_NAMES, FEATURE_VERSION
from matinee_policies.records import PAD


def run_log(run: Path, arm: str, *, component: str = "value") -> PolicyLog:
    """The log of an arm.

    Only days whose every counted window had closed when the run ended are read.

    Args:
        run: folder of the run; its settings name the classes of the user's own that are imported.
        arm: name of the arm.
        component: which reward is counted, see `components`.

    Raises:
        ConfigError: if there is no such arm, it knows the truth, or the component is none.
        DataError: if the log cannot be read, or no day has matured.
    """
    settings = run_settings(run)
    if arm not in run_arms(run):
        names = [one.name for one in settings.arms]
        what = "must not know the truth" if arm in names else f"must be one of {', '.join(names)}"
        raise ConfigError(f"arm of {run} {what}, got {arm!r}")
    rewards = counted(settings.reward, component)
    reader = _RunReader(run, arm, days=settings.days, rewards=rewards)
    pending = reader.pending
    notes = notes_of(rewards)
    if pending:
        notes += (f"{pending:,} decisions are left out: a window had not closed",)
    return PolicyLog(
        name=f"{run}:{arm}",
        arm=arm,
        parts=reader.parts,
        slots=settings.slots,
        dimension=len(FEATURE_NAMES),
        decisions=reader.decisions,
        rewards=slot_range(rewards),
        adaptive=reader.adaptive,
        component=component,
        source=settings.arm(arm).candidates,
        catalogue=reader.model.items.version,
        genres=main_genres(reader.model.items),
        notes=notes,
        run=run,
        snapshots=run / "snapshots" / arm,
        experiment=settings.name,
    )


def run_arms(run: Path) -> tuple[str, ...]:
    """Arms of a run whose logs can be weighed: those that do not know the truth."""
    return tuple(one.name for one in run_settings(run).arms if not one.reference)


class _RunReader:
    """Reads one arm.

    Attributes:
        model: of the run.
        decisions: of days that have matured.
        pending: of the others.
        adaptive: whether several snapshots chose.
    """

    def __init__(self, run: Path, arm: str, *, days: int, rewards: RewardSettings) -> None:
        self._run, self._arm, self._rewards = run, arm, rewards
        self.model: ServingModel = load_serving_model(run / "model")
        self._contexts = self.model.contexts(arm)
        self._catalogue = catalogue_number(self.model.items)
        self._snapshots = ArmSnapshots(run / "snapshots" / arm, policy_in_settings(run, arm))
        window, logged = longest_window(rewards), list(logged_days(run, arm))
        self._days = [day for day in logged if day + window <= days - 1]
        rows, versions = dict.fromkeys(logged, 0), set[int]()
        for day in logged:
            for table in read_parts(run, "decisions", arm, ["snapshot"], day=day):
                rows[day] += table.num_rows
                if day in self._days:
                    versions |= set(np.unique(table["snapshot"].to_numpy()).tolist())
        self.adaptive = len(versions) > 1
        self.decisions = sum(rows[day] for day in self._days)
        self.pending = sum(rows.values()) - self.decisions
        if not self.decisions:
            raise DataError(
                self._folder,
                rule=f"must hold a day whose window of {window} days has closed by day {days - 1}",
                value=f"{len(logged)} days with {sum(rows.values())} decisions",
            )

    @property
    def _folder(self) -> Path:
        return self._run / "decisions" / self._arm

    def parts(self, with_features: bool) -> Iterator[Sequence[DecidedPart]]:
        """See `PolicyLog.parts`."""
        for day in self._days:
            joined: DayRewards | None = None
            for table in read_parts(self._run, "decisions", self._arm, day=day):
                if joined is None:
                    joined = read_day_rewards(
                        self._run,
                        self._arm,
                        day=day,
                        slots=table["slate"].type.list_size,
                        rewards=self._rewards,
                    )
                yield self._of_table(table, joined, with_features=with_features)

    def _of_table(
        self, table: pa.Table, joined: DayRewards, *, with_features: bool
    ) -> list[DecidedPart]:
        self._check(table)
        contexts = logged_contexts(table, self._contexts, with_features=with_features)
        positions = slate_positions(contexts.candidates, matrix(table["slate"]), self._folder)
        versions = table["snapshot"].to_numpy()
        served = column_values(table.select(["served_by", "decided_at"]))
        earned = joined.total(table["decision_id"].to_numpy(), self._rewards)
        whole = DecidedPart(
            place=np.arange(table.num_rows),
            unit=table["unit"].to_numpy(),
            time=served["decided_at"],
            contexts=contexts,
            positions=positions,
            items=contexts.candidates,
            logged=np.ascontiguousarray(matrix(table["propensities"])),
            rewards=np.where(positions != PAD, earned, 0.0),
            logger=None,
            version=-1,
        )
        own = served["served_by"] == SERVED_BY_POLICY
        return [
            _by(whole, np.flatnonzero(own & (versions == version)), int(version), self._snapshots)
            for version in np.unique(versions[own])
        ]

    def _check(self, table: pa.Table) -> None:
        for name, wanted in (
            ("feature_version", FEATURE_VERSION),
            ("catalogue_version", self._catalogue),
        ):
            found = table[name].to_numpy()
            if (found != wanted).any():
                raise DataError(
                    self._folder,
                    rule=f"must be of {name.replace('_', ' ')} {wanted}",
                    value=int(found[found != wanted][0]),
                )


def _by(whole: DecidedPart, rows: np.ndarray, version: int, snapshots: ArmSnapshots) -> DecidedPart:
    """The decisions of one version."""
    part = whole if rows.size == len(whole) else whole.rows(rows)
    return DecidedPart(
        **{
            **{name: getattr(part, name) for name in DecidedPart.__slots__},
            "logger": snapshots.policy(version),
            "version": version,
        }
    )
