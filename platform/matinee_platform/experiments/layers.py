"""Which arm a unit has in each running experiment: holdout, layer, coverage, arm.

Every question is one hash of `assignment.py` (GrowthBook's version 2) under a seed of its own:

    holdout      "holdout:" + its salt     below its share: no experiment touches the unit
    layer        "layer:" + its name       within the experiment's slice: the unit may take part
    experiment   its salt                  the bucket that chooses the arm, as coverage lets in

Salts of experiments hold no colon, so no two questions share a seed and their answers are
independent. Any SDK of GrowthBook recomputes them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from matinee_platform.assignment import (
    BUCKETS,
    NO_ARM,
    Int16Array,
    UInt16Array,
    bucket_ranges,
    buckets,
    choose_arms,
)
from matinee_platform.experiments.definition import HOLDOUT_ARM, LiveExperiment
from matinee_platform.experiments.errors import UnknownExperimentError
from matinee_platform.service.settings import Holdout
from matinee_policies.arrays import BoolArray, UInt64Array
from matinee_policies.compiled import kernel
from matinee_policies.errors import ContextError

HELD_OUT = -2
"""The arm of a unit in the holdout, where arms are numbers."""

_SHIFT = 16
_LOW = (1 << _SHIFT) - 1


class Assignment(NamedTuple):
    """Where a unit stands in an experiment.

    Attributes:
        bucket: of the experiment's hash, below `BUCKETS`, whatever the arm.
        arm: name of the arm, `HOLDOUT_ARM`, or None for a unit outside the experiment.
    """

    bucket: int
    arm: str | None


@dataclass(frozen=True, slots=True)
class _Rule:
    """What one experiment asks of a unit; tables are by bucket.

    Attributes:
        seeds: of the arms, the layer and the holdout.
        states: hashes of the seeds, to go on with, `uint64 [3]`.
        inside: whether a bucket of the layer is inside the slice.
        held: whether a bucket of the holdout is in it.
        arms: index of the arm.
        names: the answer for each bucket.
    """

    seeds: tuple[str, str, str]
    states: UInt64Array
    inside: BoolArray
    held: BoolArray
    arms: Int16Array
    names: tuple[Assignment, ...]


class Assigner:
    """Assigns units to the arms of running experiments: pure, made anew when one changes.

    Args:
        experiments: those that run, their slices as the life cycle left them.
        holdout: units that no experiment touches.

    Example:
        >>> experiment = LiveExperiment.model_validate({
        ...     "key": "home", "salt": "spring",
        ...     "arms": [{"name": "old", "bundle": "old"}, {"name": "new", "bundle": "new"}],
        ... })
        >>> assigner = Assigner([experiment], Holdout())
        >>> [assigner.assign("home", unit).arm for unit in ("ada", "bo", "cy")]
        ['new', 'old', 'new']
    """

    def __init__(self, experiments: Iterable[LiveExperiment], holdout: Holdout) -> None:
        self.experiments = {experiment.key: experiment for experiment in experiments}
        self._rules = {key: _rule(one, holdout) for key, one in self.experiments.items()}

    def assign(self, experiment: str, unit: str) -> Assignment:
        """Where one unit stands; the fast path of a single request.

        Args:
            experiment: key.
            unit: raw id.

        Raises:
            UnknownExperimentError: no experiment of this key runs.
            ContextError: the id is not Unicode text.
        """
        rule = self._rules.get(experiment)
        if rule is None:
            raise _unknown(experiment)
        try:
            codes = np.frombuffer(unit.encode("utf-16-le"), dtype="<u2")
        except (AttributeError, UnicodeEncodeError):
            raise ContextError("unit ids must be Unicode text, this one is not") from None
        packed = _packed_buckets(codes, rule.states)
        found = rule.names[packed & _LOW]
        if rule.held[packed >> 2 * _SHIFT]:
            return Assignment(found.bucket, HOLDOUT_ARM)
        if rule.inside[packed >> _SHIFT & _LOW]:
            return found
        return Assignment(found.bucket, None)

    def assign_batch(self, experiment: str, units: Sequence[str]) -> tuple[Int16Array, Int16Array]:
        """Where many units stand.

        Args:
            experiment: key.
            units: raw ids, `n` of them.

        Returns:
            Buckets, `int16 [n]`, and indices of arms, `int16 [n]`: `HELD_OUT` in the holdout and
            `assignment.NO_ARM` outside the experiment.

        Raises:
            UnknownExperimentError: no experiment of this key runs.
            ContextError: an id is not Unicode text.
        """
        rule = self._rules.get(experiment)
        if rule is None:
            raise _unknown(experiment)
        own, layer, holdout = (buckets(units, seed) for seed in rule.seeds)
        arms = np.where(rule.inside[layer], rule.arms[own], np.int16(NO_ARM))
        return own, np.where(rule.held[holdout], np.int16(HELD_OUT), arms)


def _rule(experiment: LiveExperiment, holdout: Holdout) -> _Rule:
    every = np.arange(BUCKETS, dtype=np.int16)
    # Shares are compared as `choose_arms` compares them.
    share = every / BUCKETS
    low, high = experiment.layer_slice
    weights = [arm.weight for arm in experiment.arms]
    arms = choose_arms(every, bucket_ranges(weights, coverage=experiment.coverage))
    names = [arm.name for arm in experiment.arms]
    seeds = (experiment.salt, f"layer:{experiment.layer}", f"holdout:{holdout.salt}")
    return _Rule(
        seeds=seeds,
        states=np.array([_hash(seed) for seed in seeds], dtype=np.uint64),
        inside=(share >= low) & (share < high),
        held=share < holdout.share,
        arms=arms,
        names=tuple(
            Assignment(bucket, None if arm == NO_ARM else names[arm])
            for bucket, arm in enumerate(arms.tolist())
        ),
    )


def _hash(seed: str) -> int:
    """Fowler, Noll and Vo's hash 1a of 32 bits, of UTF-16 code units."""
    state = 2166136261
    for code in np.frombuffer(seed.encode("utf-16-le"), dtype="<u2").tolist():
        state = ((state ^ code) * 16777619) & 0xFFFFFFFF
    return state


def _packed_buckets_reference(codes: UInt16Array, states: UInt64Array) -> int:
    """Plain Python twin of `_packed_buckets`."""
    packed = 0
    for place, state in enumerate(states.tolist()):
        for code in codes.tolist():
            state = ((state ^ code) * 16777619) & 0xFFFFFFFF
        packed |= _hash(str(state)) % BUCKETS << _SHIFT * place
    return packed


@kernel
def _packed_buckets(codes: UInt16Array, states: UInt64Array) -> np.int64:
    """The buckets of one unit under some seeds: one number, `_SHIFT` bits for each.

    Args:
        codes: UTF-16 code units of the id, `uint16 [n]`.
        states: hash of each seed, `uint64 [at most 4]`.
    """
    basis, prime = np.uint64(2166136261), np.uint64(16777619)
    mask, ten = np.uint64(0xFFFFFFFF), np.uint64(10)
    packed = np.uint64(0)
    for place in range(states.size):
        inner = states[place]
        for code in codes:
            inner = ((inner ^ np.uint64(code)) * prime) & mask
        power = np.uint64(1)
        while inner // power >= ten:
            power *= ten
        outer = basis
        while power > np.uint64(0):
            digit = (inner // power) % ten
            outer = ((outer ^ (digit + np.uint64(48))) * prime) & mask
            power //= ten
        packed |= (outer % np.uint64(10000)) << np.uint64(16 * place)
    return np.int64(packed)


def _unknown(experiment: str) -> UnknownExperimentError:
    return UnknownExperimentError(f"no experiment {experiment!r} runs")
