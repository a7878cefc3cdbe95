"""Estimate from a run's log how often each slot is examined (`matinee_platform.examination`)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from matinee_platform.context_builder import ContextBuilder
from matinee_platform.decision_log import read_parts
from matinee_platform.examination import Examination, estimate_examination, swap_weights
from matinee_platform.log_schema import matrix
from matinee_platform.logged_contexts import logged_contexts
from matinee_platform.logged_rewards import logged_days, read_day_rewards
from matinee_platform.logged_slates import choices, slate_positions
from matinee_platform.reward_settings import RewardSettings
from matinee_platform.run_settings import run_settings
from matinee_platform.serving_model import load_serving_model
from matinee_platform.settings import ArmSettings
from matinee_policies.arrays import BoolArray, FloatArray, UInt64Array
from matinee_policies.config import check_whole
from matinee_policies.errors import ConfigError, DataError
from matinee_policies.policy import Policy, reads_features
from matinee_policies.registry import restore_policy
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_signature import SigningKeys

SAMPLE = 100_000
"""Decisions of each arm that are re-scored, unless asked for more."""

_AT_ONCE = 1_024


@dataclass(frozen=True, slots=True)
class ExaminationStudy:
    """What a run's log tells of examination.

    Attributes:
        arms: by the log of one arm each; of one whose log tells nothing, NaN.
        together: by all of them.
    """

    arms: dict[str, Examination]
    together: Examination


@dataclass(frozen=True, slots=True)
class _Pages:
    """Weights of the pairs of slots, `[n, L - 1]`, clicks, `[n, L]`, and units, `[n]`."""

    weights: FloatArray
    clicks: BoolArray
    units: UInt64Array


def read_examination(
    run: Path, arms: Sequence[str] | None = None, *, sample: int = SAMPLE
) -> ExaminationStudy:
    """Estimate the curve by the logs of some arms.

    Each sampled slate is scored again with two neighbours swapped, once for each pair of slots, by
    the snapshot that chose it.

    Args:
        run: folder of a finished run.
        arms: names of arms; all of the run if `None`.
        sample: decisions of each arm to take, at most about, at least 1.

    Raises:
        ConfigError: if an arm is not of the run, or slates have but one slot.
        DataError: if the log or a snapshot cannot be read, or there is no decision.
    """
    check_whole("sample", sample, low=1)
    settings = run_settings(run)
    known = [arm.name for arm in settings.arms]
    for name in arms or ():
        if name not in known:
            raise ConfigError(f"arm must be one of {', '.join(known)}, got {name!r}")
    if settings.slots < 2:
        raise ConfigError(f"slates must have two slots to compare, got {settings.slots}")
    model = load_serving_model(run / "model")
    pages = {
        name: list(_read(run, settings.arm(name), model.contexts(name), sample=sample))
        for name in (arms or known)
    }
    if not any(pages.values()):
        raise DataError(run / "decisions", rule="must hold decisions")
    return ExaminationStudy(
        arms={name: _estimate(parts) for name, parts in pages.items() if parts},
        together=_estimate([part for parts in pages.values() for part in parts]),
    )


def _estimate(parts: list[_Pages]) -> Examination:
    return estimate_examination(
        np.concatenate([part.weights for part in parts]),
        np.concatenate([part.clicks for part in parts]),
        np.concatenate([part.units for part in parts]),
    )


def _read(
    run: Path, arm: ArmSettings, contexts: ContextBuilder, *, sample: int
) -> Iterator[_Pages]:
    logged = sum(
        table.num_rows for table in read_parts(run, "decisions", arm.name, ["decision_id"])
    )
    step = np.uint64(max(1, -(-logged // sample)))
    policies = _Policies(run / "snapshots" / arm.name, arm)
    for day in logged_days(run, arm.name):
        rewards = None
        for table in read_parts(run, "decisions", arm.name, day=day):
            slates = matrix(table["slate"])
            if rewards is None:
                rewards = read_day_rewards(
                    run, arm.name, day=day, slots=slates.shape[1], rewards=RewardSettings()
                )
            kept = np.flatnonzero(table["decision_id"].to_numpy() % step == 0)
            for start in range(0, kept.size, _AT_ONCE):
                rows = table.take(kept[start : start + _AT_ONCE]).combine_chunks()
                yield _Pages(
                    weights=_weights(rows, contexts, policies, run / "decisions" / arm.name),
                    clicks=rewards.clicks[rewards.places(rows["decision_id"].to_numpy())],
                    units=rows["unit"].to_numpy(),
                )


def _weights(
    rows: pa.Table, contexts: ContextBuilder, policies: "_Policies", log: Path
) -> FloatArray:
    """Weights of all pairs of slots, `float64 [n, L - 1]`."""
    propensities = np.ascontiguousarray(matrix(rows["propensities"]))
    weights = np.zeros((rows.num_rows, propensities.shape[1] - 1))
    versions = rows["snapshot"].to_numpy()
    for version in np.unique(versions):
        policy = policies.policy(int(version))
        at = np.flatnonzero(versions == version)
        seen = logged_contexts(rows.take(at), contexts, with_features=reads_features(policy))
        positions = slate_positions(seen.candidates, matrix(rows["slate"])[at], log)
        _, chosen = choices(seen, positions)
        for pair in range(weights.shape[1]):
            weights[at, pair] = swap_weights(
                policy,
                seen,
                positions,
                propensities[at],
                pair=np.full(at.size, pair),
                chosen=chosen,
            )
    return weights


class _Policies:
    """The snapshots of one arm, one at a time."""

    def __init__(self, folder: Path, arm: ArmSettings) -> None:
        self._folder = folder
        self._config = arm.policy
        self._version = -1
        self._policy: Policy | None = None

    def policy(self, version: int) -> Policy:
        if self._policy is None or version != self._version:
            snapshot = Snapshot.load(
                self._folder / f"{version:05d}.npz", keys=SigningKeys.configured()
            )
            self._policy = restore_policy(snapshot, kind=self._config["kind"], config=self._config)
            self._version = version
        return self._policy
