"""The slate sampler: draws slates from a law over candidates, and scores any slate under it.

Slots are filled in order. At slot l, with items J chosen before, candidate i has the utility

    u_l(i) = value(i) - price * redundancy(i | J)          (`diversity.py`)

and a rule (`rules.py`) turns the utilities of the candidates that remain into probabilities. The
item is drawn by inversion of their running sum, in the order of the candidates, with the uniform
number of (decision key, slot). Diversity is therefore inside the law, and the probability of each
choice is exact.

What remains at a slot are the candidates that are real, eligible, not shown before, not pinned to
any slot and within the caps. A slot with a pin shows it with probability 1, also against caps and
the policy's own eligibility. A slot without pin for which nothing remains is padding with
probability 1, and slots after it may still show their pins. A slate that departs from the law (an
item it excludes, another item than the pin, padding where a candidate remains) has probability 0 at
that slot; its later slots are scored given what it shows.

Drawing and scoring are one compiled walk (`slate_walk.py`), so scoring a drawn slate gives the
drawn propensities to the last bit, whatever the other decisions of the batch are.
"""

import numpy as np

from matinee_policies.arrays import FloatArray, IndexArray, UInt64Array
from matinee_policies.diversity import Calibrated
from matinee_policies.errors import ContextError
from matinee_policies.records import PAD, SlateBatch
from matinee_policies.redundancy_codes import diversity_code
from matinee_policies.rules import VOTES
from matinee_policies.slate_problem import (
    NO_CAPS,
    SlateProblem,
    check_array,
    check_positions,
    check_slates,
    check_slots,
    slate_length,
)
from matinee_policies.slate_walk import FINE, walk
from matinee_policies.walk_arrays import (
    NO_ASPECTS,
    NO_COSTS,
    NO_CREATORS,
    NO_DOUBLES,
    NO_INTERESTS,
    NO_KEYS,
    NO_LAWS,
    NO_MEMBERS,
    NO_PINS,
    plain,
    table,
)

__all__ = [
    "NO_CAPS",
    "SlateProblem",
    "check_slots",
    "exploration_cost",
    "law_at",
    "next_law",
    "sample_slates",
    "score_slates",
    "slate_length",
]


def sample_slates(problem: SlateProblem, *, slots: int, keys: UInt64Array) -> SlateBatch:
    """Draw one slate per decision.

    Args:
        problem: what fixes the law.
        slots: length `L` of every slate, at least 1.
        keys: decision keys, `uint64 [B]`; the same key draws the same slate.

    Returns:
        Slates of distinct items; a slot is padding where no candidate remains.

    Raises:
        ContextError: if `slots` or `keys` break a rule above, or pins break a cap.
    """
    check_slots(slots)
    check_array(keys, "keys", np.uint64, (len(problem.contexts),))
    positions = np.empty((len(problem.contexts), slots), dtype=np.int32)
    items, propensities = _run(problem, positions, keys=keys)
    return SlateBatch(positions=positions, items=items, propensities=propensities)


def score_slates(problem: SlateProblem, slates: IndexArray) -> FloatArray:
    """Probability of each item of any slates, given the items before it in its slate.

    Args:
        problem: what fixes the law.
        slates: positions among the candidates, distinct in a row, `int32 [B, L]`; `PAD` where a
            slot is empty: after the last candidate and, under eligibility, pins or caps, anywhere.

    Returns:
        Values in [0, 1], `float64 [B, L]`: 1 at padding where nothing remains, 0 only where the law
        excludes what the slate shows.

    Raises:
        ContextError: if `slates` break a rule above, or pins break a cap.
    """
    check_slates(slates, problem)
    return _run(problem, np.array(slates, order="C"))[1]


def next_law(problem: SlateProblem, prefix: IndexArray, *, slots: int) -> FloatArray:
    """Law of the slot that follows a prefix.

    Args:
        problem: what fixes the law.
        prefix: positions at the first slots, distinct, `int32 [B, P]`; padding only where
            `score_slates` takes it.
        slots: length of the whole slate, above `P`.

    Returns:
        Probability of each candidate, `float64 [B, K]`; rows sum to 1, or are 0 where no candidate
        remains.

    Raises:
        ContextError: if `prefix` or `slots` break a rule above, or pins break a cap.
    """
    check_slots(slots)
    check_positions(prefix, problem.contexts)
    if (prefix == PAD).any() and not problem.is_constrained():
        raise ContextError("prefix must hold no padding, got -1")
    if prefix.shape[1] >= slots:
        raise ContextError(f"prefix must be shorter than slots {slots}, got {prefix.shape[1]}")
    # The walk goes on for all slots, since pins of the later ones are reserved now.
    positions = np.full((len(prefix), slots), PAD, dtype=np.int32)
    positions[:, : prefix.shape[1]] = prefix
    return law_at(problem, positions, slot=prefix.shape[1])


def law_at(problem: SlateProblem, slates: IndexArray, *, slot: int) -> FloatArray:
    """Law of one slot of slates whose items before it stand.

    Args:
        problem: what fixes the law.
        slates: as `score_slates` takes them, `int32 [B, L]`; unchecked, and from `slot` on unread.
        slot: below `L`.

    Returns:
        As `next_law`, `float64 [B, K]`.

    Raises:
        ContextError: if pins break a cap.
    """
    laws = np.zeros(problem.contexts.candidates.shape)
    _run(problem, np.array(slates, order="C"), laws=laws, last=slot)
    return laws


def exploration_cost(problem: SlateProblem, slates: IndexArray) -> FloatArray:
    """Expected utility that exploration gives up along each slate.

    Summed over slots, the largest utility of what remains minus the mean utility under the slot's
    law, given the items before it in the slate. Pins and empty slots give up nothing.

    Args:
        problem: what fixes the law.
        slates: as `score_slates` takes them, `int32 [B, L]`.

    Returns:
        At least 0, in value units, `float64 [B]`; exactly 0 for a law without exploration.

    Raises:
        ContextError: if `slates` break a rule above, or pins break a cap.
    """
    check_slates(slates, problem)
    costs = np.zeros(len(slates))
    _run(problem, np.array(slates, order="C"), costs=costs)
    return costs


def _run(
    problem: SlateProblem,
    positions: IndexArray,
    *,
    keys: UInt64Array = NO_KEYS,
    laws: FloatArray = NO_LAWS,
    costs: FloatArray = NO_COSTS,
    last: int | None = None,
) -> tuple[IndexArray, FloatArray]:
    """Draw `positions` if there are keys, else follow them; gives items and propensities."""
    contexts, rule = problem.contexts, problem.rule
    slots = positions.shape[1]
    diversity = problem.kind()
    traits = contexts.traits
    items = np.empty(positions.shape, dtype=np.int32)
    propensities = np.empty(positions.shape)
    wrong = walk(
        plain(problem.values),
        plain(problem.members) if problem.rule.code == VOTES else NO_MEMBERS,
        plain(problem.available()),
        plain(contexts.candidates),
        table(contexts.embeddings),
        NO_DOUBLES,
        NO_PINS if contexts.pinned is None else plain(contexts.pinned),
        NO_ASPECTS if traits is None else table(traits.aspects),
        NO_CREATORS if traits is None else table(traits.creators),
        NO_INTERESTS if contexts.interests is None else plain(contexts.interests),
        problem.caps.aspect,
        problem.caps.creator,
        diversity_code(diversity),
        float(diversity.price),
        diversity.smoothing if isinstance(diversity, Calibrated) else 0.0,
        rule.code,
        float(rule.parameter),
        rule.uniform_weight(slots),
        rule.exploring_weight(slots),
        plain(keys),
        positions,
        items,
        propensities,
        laws,
        costs,
        slots - 1 if last is None else last,
    )
    if wrong != FINE:
        raise ContextError(f"pinned items of decision {wrong} must keep within the caps")
    return items, propensities
