"""Logs of ours, whose policies and contexts are known: weighed by any other policy.

At every slot the whole law of the policy that chose is worked out again, and that of the target,
both given the items that the log shows above. So the probability of what was shown is checked
against the log, and what the target would choose but the log could never show is known, as is the
largest weight that any draw could have had.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from matinee_platform.ope.calibration import CalibrationSums
from matinee_platform.ope.examples import Examples, RewardModel
from matinee_platform.ope.interval import RewardRange
from matinee_platform.ope.records import LoggedBatch
from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    FloatArray,
    IndexArray,
    Int64Array,
    UInt64Array,
)
from matinee_policies.policy import Policy
from matinee_policies.records import PAD, ContextBatch
from matinee_policies.slot_laws import SlotLaws, rows_at_once, slot_laws

SAME = 1e-9
"""Relative difference up to which a propensity is the logged one, on another type of machine."""

_WHOLE = 1e-6


@dataclass(frozen=True, slots=True)
class DecidedPart:
    """Decisions of one policy in one state, with what they earned.

    Attributes:
        place: of each among those read together, rising, `int64 [n]`.
        unit: pseudonyms, `uint64 [n]`.
        time: of the decision, UTC milliseconds, `int64 [n]`.
        contexts: what the policy saw.
        positions: the slates among the candidates, `PAD` at empty slots, `int32 [n, L]`.
        items: numbers of the candidates that stay the same over the log, `int32 [n, K]`.
        logged: propensities as logged, `float64 [n, L]`.
        rewards: of each slot, 0 at empty ones, `float64 [n, L]`.
        logger: the policy that chose, in the state that chose; None where it is gone.
        version: of its snapshot.
    """

    place: AnyArray
    unit: UInt64Array
    time: AnyArray
    contexts: ContextBatch
    positions: IndexArray
    items: IndexArray
    logged: FloatArray
    rewards: FloatArray
    logger: Policy | None
    version: int

    def __len__(self) -> int:
        return int(self.unit.size)

    def rows(self, index: AnyArray) -> "DecidedPart":
        """Some of the decisions, by index or mask."""
        own = ("place", "unit", "time", "positions", "items", "logged", "rewards")
        return replace(
            self,
            contexts=self.contexts.rows(index),
            **{name: getattr(self, name)[index] for name in own},
        )


PartsOf = Callable[[bool], Iterator[Sequence[DecidedPart]]]
"""Reads a log from its start, parts that stand together in its order; whether with features."""


@dataclass(frozen=True, slots=True)
class PolicyLog:
    """A log of one arm.

    Attributes:
        name: for people, such as `runs/demo:mf_explored`.
        arm: whose log.
        parts: reads the decisions whose windows have closed.
        slots: of a page.
        dimension: features of a candidate.
        decisions: about how many there are, to tell progress.
        rewards: what a slot can earn.
        adaptive: whether the policy that logged changed as it did.
        component: `value`, or the one component that is counted.
        source: candidate source of the arm; None where callers give candidates.
        catalogue: version of the item features; None where there is no catalogue.
        notes: what every output has to say of the log.
        genres: genre of each item of the catalogue, `int64 [M]`; None where there is no catalogue.
        clusters: of each item, for weights of clusters, `int64 [M]`; None without.
        run: folder of the run whose it is; None for a service's.
        snapshots: folder of what the arm learned from its own log; None where no files hold it.
        experiment: name of the run's experiment, or key of the service's.
    """

    name: str
    arm: str
    parts: PartsOf
    slots: int
    dimension: int
    decisions: int
    rewards: RewardRange
    adaptive: bool = False
    component: str = "value"
    source: str | None = None
    catalogue: str | None = None
    notes: tuple[str, ...] = ()
    genres: Int64Array | None = None
    clusters: Int64Array | None = None
    run: Path | None = None
    snapshots: Path | None = None
    experiment: str = ""


@dataclass(slots=True)
class LogCheck:
    """What re-scoring a log by its own policies found.

    Attributes:
        decisions: weighed.
        slots: of these, with an item.
        unequal: slots whose propensity is not, to the last bit, the logged one.
        largest_gap: largest relative difference.
        unmatched: decisions left out: a propensity that differs by more than 1e-9, or whose policy
            is gone.
        versions: of the policies that chose.
        calibration: draws of the decisions whose propensities are the logged ones.
    """

    decisions: int = 0
    slots: int = 0
    unequal: int = 0
    largest_gap: float = 0.0
    unmatched: int = 0
    versions: set[int] = field(default_factory=set)
    calibration: CalibrationSums = field(default_factory=CalibrationSums)


def weighed(
    log: PolicyLog, target: Policy, *, model: RewardModel | None, check: LogCheck
) -> Iterator[LoggedBatch]:
    """The log under a target policy, as estimators read it.

    Args:
        log: of one arm.
        target: of the log's features.
        model: fitted on `examples_of` this log; None for none.
        check: counts what re-scoring found.

    Raises:
        MatineeError: if the log cannot be read, or the target refuses its contexts.
    """
    last = np.iinfo(np.int64).min
    for together in log.parts(True):
        done = [
            (part.place, batch)
            for whole in together
            for part, batch in _weigh(log, whole, target, model=model, check=check)
        ]
        if not done:
            continue
        order = np.argsort(np.concatenate([place for place, _ in done]), kind="stable")
        names = [name for name in LoggedBatch.__slots__ if getattr(done[0][1], name) is not None]
        columns = {
            name: np.concatenate([getattr(batch, name) for _, batch in done])[order]
            for name in names
        }
        # Commits of a service may overtake each other by a moment.
        columns["time"] = np.maximum.accumulate(np.maximum(columns["time"], last))
        last = int(columns["time"][-1])
        yield LoggedBatch(**columns)


def examples_of(log: PolicyLog) -> Iterator[Examples]:
    """Every item that the log shows, with what its slot earned."""
    for together in log.parts(True):
        for part in together:
            row, slot = np.nonzero(part.positions != PAD)
            position = part.positions[row, slot]
            yield Examples(
                unit=part.unit[row],
                rewards=part.rewards[row, slot],
                slots=slot.astype(np.int64),
                items=part.items[row, position].astype(np.int64),
                features=part.contexts.features[row, position].astype(np.float64),
            )


def _weigh(
    log: PolicyLog,
    whole: DecidedPart,
    target: Policy,
    *,
    model: RewardModel | None,
    check: LogCheck,
) -> Iterator[tuple[DecidedPart, LoggedBatch]]:
    if whole.logger is None:
        check.unmatched += len(whole)
        return
    check.versions.add(whole.version)
    candidates = whole.contexts.candidates.shape[1]
    size = min(rows_at_once(policy, candidates=candidates) for policy in (target, whole.logger))
    for start in range(0, len(whole), size):
        part = whole
        if len(whole) > size:
            part = whole.rows(np.arange(start, min(start + size, len(whole))))
        own = slot_laws(whole.logger, part.contexts, part.positions)
        matched = _matched(part, own, check)
        theirs = own if target is whole.logger else slot_laws(target, part.contexts, part.positions)
        laws = [own.law(slot) for slot in range(part.positions.shape[1])]
        batch = _batch(log, part, own, theirs, laws=laws, model=model)
        _add_draws(part, laws, matched, check.calibration)
        if not matched.all():
            part = part.rows(matched)
            batch = _some(batch, matched)
        check.decisions += len(part)
        if len(part):
            yield part, batch


def _matched(part: DecidedPart, own: SlotLaws, check: LogCheck) -> BoolArray:
    """Decisions whose propensities are the logged ones."""
    shown = part.positions != PAD
    check.slots += int(shown.sum())
    check.unequal += int((shown & (own.propensities != part.logged)).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.abs(own.propensities / part.logged - 1.0)
    gap = np.where(np.isnan(gap), np.inf, gap)
    check.largest_gap = max(check.largest_gap, float(gap.max(initial=0.0)))
    good = np.asarray((gap <= SAME).all(axis=1), dtype=np.bool_)
    check.unmatched += int((~good).sum())
    return good


def _add_draws(
    part: DecidedPart, laws: Sequence[FloatArray], matched: BoolArray, sums: CalibrationSums
) -> None:
    """Draws of the decisions that are weighed."""
    for slot, law in enumerate(laws):
        at = part.positions[:, slot]
        mass = np.take_along_axis(law, np.maximum(at, 0)[:, None], axis=1)[:, 0]
        # A policy of a user's own need not tell a whole law.
        whole = matched & (mass > 0.0) & (np.abs(law.sum(axis=1) - 1.0) <= _WHOLE)
        sums.add(law, np.where(whole, at, PAD), version=part.version)
    shown = (part.positions != PAD) & matched[:, None]
    candidates = (part.contexts.candidates != PAD).sum(axis=1)
    sums.add_even(part.logged, shown, candidates)


def _batch(
    log: PolicyLog,
    part: DecidedPart,
    own: SlotLaws,
    theirs: SlotLaws,
    *,
    laws: Sequence[FloatArray],
    model: RewardModel | None,
) -> LoggedBatch:
    n, slots = part.positions.shape
    shape = (n, log.slots)
    batch = LoggedBatch(
        unit=part.unit,
        time=part.time.astype(np.int64),
        rewards=np.zeros(shape),
        logged=np.ones(shape),
        target=np.ones(shape),
        unreachable=np.zeros(shape),
        predicted=None if model is None else np.zeros(shape),
        expected=None if model is None else np.zeros(shape),
        marginal=None if log.clusters is None else np.ones(shape),
        largest=np.ones(shape),
    )
    same_law = theirs is own
    batch.rewards[:, :slots] = part.rewards
    batch.logged[:, :slots] = part.logged
    # What equals the law that chose has weight 1 to the last bit, whatever was logged elsewhere.
    same = theirs.propensities == own.propensities
    batch.target[:, :slots] = np.where(same, part.logged, theirs.propensities)
    features: AnyArray = part.contexts.features
    if model is not None:
        features = features.astype(np.float64)
    for slot in range(slots):
        could, would = laws[slot], laws[slot] if same_law else theirs.law(slot)
        open_ = could > 0.0
        batch.unreachable[:, slot] = np.clip(np.where(open_, 0.0, would).sum(axis=1), 0.0, 1.0)
        if batch.largest is not None:
            ratio = np.divide(would, could, out=np.zeros_like(would), where=open_)
            least = batch.target[:, slot] / batch.logged[:, slot]
            batch.largest[:, slot] = np.maximum(ratio.max(axis=1, initial=0.0), least)
        if log.clusters is not None and batch.marginal is not None and not same_law:
            groups = log.clusters[part.items]
            batch.marginal[:, slot] = _cluster_weights(
                groups, part.positions[:, slot], could, would
            )
        if model is None or batch.predicted is None or batch.expected is None:
            continue
        q = model.predict(part.unit, slots=slot, items=part.items, features=features)
        batch.expected[:, slot] = (would * q).sum(axis=1)
        at = part.positions[:, slot]
        shown = np.take_along_axis(q, np.maximum(at, 0)[:, None], axis=1)[:, 0]
        batch.predicted[:, slot] = np.where(at == PAD, 0.0, shown)
    return batch


def _cluster_weights(
    groups: Int64Array, shown: IndexArray, could: FloatArray, would: FloatArray
) -> FloatArray:
    """Ratio of both laws' masses on the cluster of the item shown, 1 at an empty slot, `[n]`."""
    own = np.take_along_axis(groups, np.maximum(shown, 0)[:, None], axis=1)
    alike = groups == own
    drawn = np.where(alike, could, 0.0).sum(axis=1)
    weights = np.divide(
        np.where(alike, would, 0.0).sum(axis=1), drawn, out=np.ones_like(drawn), where=drawn > 0.0
    )
    return np.where(shown == PAD, 1.0, weights)


def _some(batch: LoggedBatch, rows: BoolArray) -> LoggedBatch:
    given = {name: getattr(batch, name) for name in LoggedBatch.__slots__}
    arrays: dict[str, Any] = {name: a[rows] for name, a in given.items() if a is not None}
    return LoggedBatch(**arrays)
