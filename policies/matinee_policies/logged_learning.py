"""Learn from slates that another policy chose.

At slot l of a logged decision the policy in charge drew item a with probability p out of the
remaining candidates R. What a regression on all of them would have learned, each candidate with
weight 1 / |R|,

    A* = E[ sum_i x_i x_i' / |R| ]        b* = E[ sum_i x_i r_i / |R| ]

is estimated from the one that was shown, with the importance weight w = 1 / (p |R|), which is the
uniform law over the logged one:

    plain   A += x_a x_a'                       b += x_a r_a
    mtr     A += w x_a x_a'                     b += w x_a r_a
    ips     A += sum_i x_i x_i' / |R|           b += w x_a r_a
    dr      A += sum_i x_i x_i' / |R|           b += sum_i x_i m(x_i) / |R| + w x_a (r_a - m(x_a))

(`mtr`, importance-weighted regression, and `ips`, `dr` as reductions to regression: Bietti, Agarwal
and Langford 2021, "A contextual bandit bake-off", section 2.3; `dr`: Dudik, Langford and Li 2011,
"Doubly robust policy evaluation and learning", eq. 2.) Propensities are those of single slots given
the slots above; slots with a pin hold no choice and are left out of all but `plain`.

`ips` is unbiased for A* and b*, whatever the reward is a function of; `dr` too, with less variance
the better its model m is; both at the mercy of small propensities. `mtr` is a ratio of two such
estimates: consistent, and more even. `plain` leans to what the logging policy liked, without harm
where the reward is linear in the features. Weights above `clip` count as `clip`: less variance, and
a bias towards 0 (`ips`), the model (`dr`) or the logging policy's choices (`mtr`).

With `examined` = theta, what is learned is the reward of a candidate that is looked at: slot l has
weight theta_l besides, in A and in b, and the reward is the observed one over theta_l.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from matinee_policies.arrays import (
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    Int64Array,
    UInt8Array,
)
from matinee_policies.config import check_range
from matinee_policies.errors import ContextError
from matinee_policies.linear import RidgeSums, ridge_accumulate, ridge_solve
from matinee_policies.records import PAD, SHARDS, OutcomeBatch
from matinee_policies.weighted_outcomes import weighted

ESTIMATORS = ("plain", "mtr", "ips", "dr")

_BLOCK_ROWS = 2**17


@dataclass(frozen=True, slots=True)
class LoggedSlates:
    """Logged decisions with their matured reward, `n` of them.

    Attributes:
        features: of the candidates, `float32 [n, K, d]`.
        candidates: catalogue rows, `int32 [n, K]`.
        open: candidates that a choice could fall on: real, eligible, not pinned, `bool [n, K]`.
        positions: where the item of each slot stands among the candidates, `int32 [n, L]`.
        chosen: slots that hold an item which no pin put there, `bool [n, L]`.
        propensities: as logged, `float64 [n, L]`.
        rewards: of each slot in value units, `float64 [n, L]`.
        shards: of the units, `uint8 [n]`.
        days: of the decisions, `int64 [n]`.
        examined: weight that each slot has besides, `float64 [L]`; `None` for 1 (`rewards` must
            then be those of an examined slot).
        slot_column: feature that tells the slot; `None` if there is none.
        slot_values: its value at each slot, `float32 [L]`.
    """

    features: Float32Array
    candidates: IndexArray
    open: BoolArray
    positions: IndexArray
    chosen: BoolArray
    propensities: FloatArray
    rewards: FloatArray
    shards: UInt8Array
    days: Int64Array
    examined: FloatArray | None = None
    slot_column: int | None = None
    slot_values: Float32Array = field(default_factory=lambda: np.empty(0, dtype=np.float32))

    def __len__(self) -> int:
        return int(self.positions.shape[0])

    def rows(self, part: slice) -> "LoggedSlates":
        """Some of the decisions; views."""
        return replace(self, **{name: getattr(self, name)[part] for name in _ROWS})


_ROWS = (
    "features",
    "candidates",
    "open",
    "positions",
    "chosen",
    "propensities",
    "rewards",
    "shards",
    "days",
)


def remaining_counts(open_: BoolArray, positions: IndexArray, chosen: BoolArray) -> Int64Array:
    """Candidates that a choice at each slot could fall on, `int64 [n, L]`.

    Args:
        open_: as `LoggedSlates.open`.
        positions: as `LoggedSlates.positions`.
        chosen: as `LoggedSlates.chosen`.

    Raises:
        ContextError: if an item was chosen that was not open.
    """
    taken = chosen & np.take_along_axis(open_, np.where(chosen, positions, 0), axis=1)
    if bool((taken != chosen).any()):
        raise ContextError("an item that was chosen must be among the open candidates, got another")
    before = np.cumsum(taken, axis=1, dtype=np.int64) - taken
    counts: Int64Array = open_.sum(axis=1, dtype=np.int64)[:, None] - before
    return counts


def importance_weights(
    propensities: FloatArray, remaining: Int64Array, chosen: BoolArray
) -> FloatArray:
    """1 / (p |R|) of each chosen slot and 0 elsewhere, not clipped, `float64 [n, L]`.

    Raises:
        ContextError: if a propensity of a chosen slot is not in (0, 1].
    """
    bad = chosen & ~((propensities > 0.0) & (propensities <= 1.0))
    if bad.any():
        raise ContextError(
            f"propensities of shown slots must be in (0, 1], got {propensities[bad][0]}"
        )
    safe = np.where(chosen, propensities * remaining, 1.0)
    return np.where(chosen, 1.0 / safe, 0.0)


@dataclass(slots=True)
class WeightTally:
    """Sums over the weights of a log, to tell what can be learned from it.

    Attributes:
        slots: chosen slots.
        clipped: of these, slots whose weight was above the clip.
        total: sum of the weights before clipping.
        kept: sum of the weights after clipping.
        squares: sum of the squares of the weights after clipping.
    """

    slots: int = 0
    clipped: int = 0
    total: float = 0.0
    kept: float = 0.0
    squares: float = 0.0

    def add(self, weights: FloatArray, chosen: BoolArray, *, clip: float) -> None:
        """Take in the weights of some slates, `float64 [n, L]`."""
        own = weights[chosen]
        kept = np.minimum(own, clip)
        self.slots += own.size
        self.clipped += int((own > clip).sum())
        self.total += float(own.sum())
        self.kept += float(kept.sum())
        self.squares += float((kept * kept).sum())

    @property
    def clipped_share(self) -> float:
        """Share of the slots whose weight was clipped."""
        return self.clipped / max(self.slots, 1)

    @property
    def mean_weight(self) -> float:
        """Mean before clipping: the share of the candidates that the logged law could reach."""
        return self.total / max(self.slots, 1)

    @property
    def kept_weight(self) -> float:
        """Mean after clipping; what is lacking to 1 was out of reach, or clipped away."""
        return self.kept / max(self.slots, 1)

    @property
    def effective(self) -> float:
        """Effective sample size, (sum w)^2 / sum w^2 of the clipped weights (Kong 1992)."""
        return self.kept**2 / self.squares if self.squares > 0.0 else 0.0


def shown_outcomes(slates: LoggedSlates, *, shown: BoolArray, component: str) -> OutcomeBatch:
    """The items of the slates as rows to learn from, without weights.

    Args:
        slates: as logged.
        shown: slots to take, of those that hold an item, `bool [n, L]`.
        component: name of the reward.
    """
    rows = np.arange(len(slates))[:, None]
    features = slates.features[rows, np.where(shown, slates.positions, 0)]
    if slates.slot_column is not None:
        features[:, :, slates.slot_column] = slates.slot_values
    features[~shown] = 0.0
    items = slates.candidates[rows, np.where(shown, slates.positions, 0)]
    return OutcomeBatch(
        component=component,
        first=True,
        features=features,
        rewards=slates.rewards,
        shown=shown,
        propensities=slates.propensities,
        shards=slates.shards,
        items=np.where(shown, items, PAD).astype(np.int32),
        days=slates.days,
    )


def estimated_outcomes(
    slates: LoggedSlates,
    *,
    estimator: str,
    clip: float,
    component: str = "engagement",
    model: "RewardModel | None" = None,
) -> Iterator[OutcomeBatch]:
    """The rows by which an estimator of the module docstring learns, some at a time.

    Args:
        slates: as logged.
        estimator: one of `ESTIMATORS`.
        clip: largest weight, above 0.
        component: name of the reward.
        model: of `dr`.

    Raises:
        ContextError: if a propensity is not in (0, 1].
        ConfigError: if the clip is not above 0.
    """
    check_range("clip", clip, low=0, low_open=True)
    if estimator == "plain":
        rows = shown_outcomes(slates, shown=slates.positions != PAD, component=component)
        yield rows if slates.examined is None else weighted(rows, _examined(slates))
        return
    remaining = remaining_counts(slates.open, slates.positions, slates.chosen)
    weights = importance_weights(slates.propensities, remaining, slates.chosen)
    weights = np.minimum(weights, clip)
    if estimator == "mtr":
        rows = shown_outcomes(slates, shown=slates.chosen, component=component)
        yield weighted(rows, weights * _examined(slates))
        return
    slots, candidates = slates.positions.shape[1], slates.open.shape[1]
    size = max(_BLOCK_ROWS // (slots * candidates), 1)
    for start in range(0, len(slates), size):
        part = slice(start, start + size)
        yield _all_candidates(slates.rows(part), weights[part], component=component, model=model)


def _all_candidates(
    slates: LoggedSlates, weights: FloatArray, *, component: str, model: "RewardModel | None"
) -> OutcomeBatch:
    """A row for every remaining candidate of every chosen slot; slots of a slate in turn."""
    L, K = slates.positions.shape[1], slates.open.shape[1]
    row, slot = np.nonzero(slates.chosen)
    position = slates.positions[row, slot]
    remaining = np.repeat(slates.open[:, None, :], L, axis=1)
    for earlier in range(L - 1):
        shown = np.flatnonzero(slates.chosen[:, earlier])
        remaining[shown, earlier + 1 :, slates.positions[shown, earlier]] = False
    available = remaining[row, slot]
    features = slates.features[row]
    if slates.slot_column is not None:
        features[:, :, slates.slot_column] = slates.slot_values[slot][:, None]
    rewards = np.zeros((row.size, K))
    residual = slates.rewards[row, slot]
    counts = available.sum(axis=1)
    at = np.arange(row.size)
    if model is not None:
        rewards = model.predictions(features, slates.shards[row])
        residual = residual - rewards[at, position]
    # A weight of 1 / |R| on the row: of the chosen one, w |R| of the residual is its target.
    rewards[at, position] += weights[row, slot] * counts * residual
    outcomes = OutcomeBatch(
        component=component,
        first=True,
        features=features,
        rewards=rewards,
        shown=available,
        propensities=np.ones((row.size, K)),
        shards=slates.shards[row],
        items=np.where(available, slates.candidates[row], PAD).astype(np.int32),
        days=slates.days[row],
    )
    share = _examined(slates)[row, slot] / counts
    return weighted(outcomes, np.repeat(share[:, None], K, axis=1))


def _examined(slates: LoggedSlates) -> FloatArray:
    """What each slot weighs besides, `float64 [n, L]`."""
    shape = slates.positions.shape
    return np.ones(shape) if slates.examined is None else np.broadcast_to(slates.examined, shape)


class RewardModel:
    """Two ridge regressions, each on one half of the units, that predict the other half's rewards.

    What predicts a unit's reward has not seen it, so that the doubly robust estimate stays unbiased
    (cross-fitting: Chernozhukov et al. 2018, "Double/debiased machine learning", definition 3.1).

    Args:
        dimension: of the features.
        l2: weight of the prior that all coefficients are 0.
    """

    def __init__(self, dimension: int, *, l2: float = 1.0) -> None:
        self._sums = RidgeSums.empty(dimension)
        self._l2 = l2
        self._thetas: FloatArray | None = None

    def learn(self, outcomes: OutcomeBatch) -> None:
        """Take in rows."""
        self._sums = ridge_accumulate(self._sums, outcomes)
        self._thetas = None

    def predictions(self, features: Float32Array, shards: UInt8Array) -> FloatArray:
        """Predicted reward of rows of some units, `float64 [m, K]`.

        Args:
            features: `float32 [m, K, d]`.
            shards: of the units, `uint8 [m]`.
        """
        if self._thetas is None:
            self._thetas = np.stack([self._without(half) for half in (0, 1)])
        theta = self._thetas[shards % 2]
        predicted: FloatArray = np.einsum("mkd,md->mk", features, theta, dtype=np.float64)
        return predicted

    def _without(self, half: int) -> FloatArray:
        """Coefficients from the shards of the other half."""
        others = (np.arange(SHARDS) % 2 != half).astype(np.float64)
        sums = RidgeSums(
            self._sums.gram * others[:, None, None],
            self._sums.moments * others[:, None],
            self._sums.rows,
        )
        return ridge_solve(sums, l2=self._l2).theta
