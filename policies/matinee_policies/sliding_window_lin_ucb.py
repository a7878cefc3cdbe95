"""SW-LinUCB: LinUCB on the outcomes of the last days only, for rewards that change at once.

    u(x) = x' theta + alpha sqrt(x' V^-1 x)                      (`sliding_window.py`)

Source: Cheung, Simchi-Levi and Zhu 2019, "Learning to optimize under non-stationarity",
algorithm 1, with a constant alpha in the place of its beta.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

from matinee_policies.config import check_whole
from matinee_policies.errors import ContextError, SnapshotError
from matinee_policies.forgetting import NO_DAY, days_in
from matinee_policies.forgetting_policy import ForgettingConfig, ForgettingPolicy
from matinee_policies.inverse_root import MOST_ROUNDING
from matinee_policies.learning import Change
from matinee_policies.linear import RidgeState, check_same_solution
from matinee_policies.linear_policy import counter_of
from matinee_policies.records import OutcomeBatch
from matinee_policies.sliding_window import WindowSums, window_accumulate, window_solve
from matinee_policies.snapshot import Snapshot, snapshot_array
from matinee_policies.value_policy import config_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SlidingWindowLinUCBConfig(ForgettingConfig):
    """Parameters of `SlidingWindowLinUCB`."""

    window_days: int = 28
    """Days that count, the newest among them, 1 to 10,000; each takes 8 d (d + 2) bytes. `days` of
    outcomes may count rounds as well."""

    def __post_init__(self) -> None:
        ForgettingConfig.__post_init__(self)
        check_whole("window_days", self.window_days, low=1, high=10_000)


class SlidingWindowLinUCB(ForgettingPolicy[SlidingWindowLinUCBConfig]):
    """Best upper bound of the window first, under a floor; one theta for all candidates.

    The window ends with the newest day among the outcomes learned; deciding does not move it.

    Args:
        config: parameters; defaults if `None`.
        dimension: of the features, at least 1.
    """

    name: ClassVar[str] = "sliding_window_lin_ucb"

    def __init__(self, config: SlidingWindowLinUCBConfig | None = None, *, dimension: int) -> None:
        super().__init__(config or SlidingWindowLinUCBConfig(), dimension=dimension)
        self._sums = WindowSums.empty(dimension, window=self.config.window_days)

    @property
    def expired(self) -> int:
        """Shown items whose outcome came when their day had left the window; not learned from."""
        return self._sums.expired

    @property
    def rows(self) -> int:
        """Impressions learned from, those that are forgotten by now among them."""
        return self._sums.rows

    def prepared(self, outcomes: OutcomeBatch) -> Change:
        """See `learning.Prepares`."""
        sums = window_accumulate(self._sums, outcomes)
        state = window_solve(sums, l2=self.config.l2)

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
                "inverse": self._state.inverse,
                "theta": self._state.theta,
            },
            manifest={
                **plain.manifest,
                "dimension": self.dimension,
                "newest_day": self._sums.newest,
                "rows": self._sums.rows,
                "expired": self._sums.expired,
            },
        )

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Self:
        """See `Policy.from_snapshot`."""
        config = config_of(snapshot, SlidingWindowLinUCBConfig, kind=cls.name)
        policy = cls(config, dimension=counter_of(snapshot, "dimension", low=1))
        d, window = policy.dimension, config.window_days
        policy._sums = WindowSums(
            gram=snapshot_array(snapshot, "gram", shape=(window, d, d)),
            moments=snapshot_array(snapshot, "moments", shape=(2, window, d)),
            days=days_in(snapshot, "days", shape=(window,)),
            newest=counter_of(snapshot, "newest_day", low=NO_DAY),
            rows=counter_of(snapshot, "rows", low=0),
            expired=counter_of(snapshot, "expired", low=0),
        )
        policy._state = RidgeState(
            inverse=snapshot_array(snapshot, "inverse", shape=(d, d)),
            theta=snapshot_array(snapshot, "theta", shape=(d,)),
        )
        try:
            expected = window_solve(policy._sums, l2=config.l2)
        except ContextError as error:
            raise SnapshotError(f"snapshot of {cls.name!r}: {error}") from None
        check_same_solution(policy._state, expected, allowed=MOST_ROUNDING, kind=cls.name)
        return policy
