"""D-LinUCB: LinUCB that forgets by a constant share per day, for rewards that drift.

    u(x) = x' theta + alpha sqrt(x' V^-1 V~ V^-1 x)              (`discounted.py`)

Source: Russac, Vernade and Cappe 2019, "Weighted linear bandits for non-stationary environments",
algorithm 1, with a constant alpha in the place of its beta.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

from matinee_policies.config import check_range
from matinee_policies.discounted import (
    DiscountedSums,
    discounted_accumulate,
    discounted_solve,
)
from matinee_policies.errors import ContextError, SnapshotError
from matinee_policies.forgetting import NO_DAY, days_in
from matinee_policies.forgetting_policy import ForgettingConfig, ForgettingPolicy
from matinee_policies.inverse_root import MOST_ROUNDING
from matinee_policies.learning import Change
from matinee_policies.linear import RidgeState, check_same_solution
from matinee_policies.linear_policy import counter_of
from matinee_policies.records import SHARDS, OutcomeBatch
from matinee_policies.snapshot import Snapshot, snapshot_array
from matinee_policies.value_policy import config_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscountedLinUCBConfig(ForgettingConfig):
    """Parameters of `DiscountedLinUCB`."""

    half_life_days: float = 14.0
    """Days after which a row weighs half, above 0; `days` of outcomes may count rounds as well."""

    def __post_init__(self) -> None:
        ForgettingConfig.__post_init__(self)
        check_range("half_life_days", self.half_life_days, low=1e-3)

    @property
    def gamma(self) -> float:
        """Weight that is left after one day, in (0, 1)."""
        return float(2.0 ** (-1.0 / self.half_life_days))


class DiscountedLinUCB(ForgettingPolicy[DiscountedLinUCBConfig]):
    """Best discounted upper bound first, under a floor; one theta for all candidates.

    Rows age with the newest day among the outcomes learned; deciding does not age them.

    Args:
        config: parameters; defaults if `None`.
        dimension: of the features, at least 1.
    """

    name: ClassVar[str] = "discounted_lin_ucb"

    def __init__(self, config: DiscountedLinUCBConfig | None = None, *, dimension: int) -> None:
        super().__init__(config or DiscountedLinUCBConfig(), dimension=dimension)
        self._sums = DiscountedSums.empty(dimension)

    @property
    def rows(self) -> int:
        """Impressions learned from, those that are forgotten by now among them."""
        return self._sums.rows

    def prepared(self, outcomes: OutcomeBatch) -> Change:
        """See `learning.Prepares`."""
        gamma = self.config.gamma
        sums = discounted_accumulate(self._sums, outcomes, gamma=gamma)
        state = discounted_solve(sums, gamma=gamma, l2=self.config.l2)

        def take() -> None:
            self._sums, self._state = sums, state

        return Change(sums.rows, take)

    def snapshot(self) -> Snapshot:
        """See `Policy.snapshot`."""
        plain = super().snapshot()
        return Snapshot(
            kind=plain.kind,
            version=plain.version,
            arrays={
                "gram": self._sums.gram,
                "moments": self._sums.moments,
                "days": self._sums.days,
                "spread": self._state.inverse,
                "theta": self._state.theta,
            },
            manifest={
                **plain.manifest,
                "dimension": self.dimension,
                "newest_day": self._sums.newest,
                "rows": self._sums.rows,
            },
        )

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Self:
        """See `Policy.from_snapshot`."""
        config = config_of(snapshot, DiscountedLinUCBConfig, kind=cls.name)
        policy = cls(config, dimension=counter_of(snapshot, "dimension", low=1))
        d = policy.dimension
        policy._sums = DiscountedSums(
            gram=snapshot_array(snapshot, "gram", shape=(2, SHARDS, d, d)),
            moments=snapshot_array(snapshot, "moments", shape=(2, SHARDS, d)),
            days=days_in(snapshot, "days", shape=(2, SHARDS)),
            newest=counter_of(snapshot, "newest_day", low=NO_DAY),
            rows=counter_of(snapshot, "rows", low=0),
        )
        policy._state = RidgeState(
            inverse=snapshot_array(snapshot, "spread", shape=(d, d)),
            theta=snapshot_array(snapshot, "theta", shape=(d,)),
        )
        try:
            expected = discounted_solve(policy._sums, gamma=config.gamma, l2=config.l2)
        except ContextError as error:
            raise SnapshotError(f"snapshot of {cls.name!r}: {error}") from None
        check_same_solution(
            policy._state, expected, allowed=MOST_ROUNDING, kind=cls.name, matrix="spread"
        )
        return policy
