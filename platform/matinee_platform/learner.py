"""Hold decisions until their windows close, then let the policy learn each component once."""

from collections import deque
from collections.abc import Mapping

import numpy as np

from matinee_platform.engine import Decisions
from matinee_platform.join import event_values
from matinee_platform.page_files import PageFiles, WaitingPages
from matinee_platform.settings import RewardSettings
from matinee_policies.arrays import AnyArray, FloatArray, UInt8Array, UInt64Array
from matinee_policies.policy import Policy
from matinee_policies.records import PAD, OutcomeBatch


class ArmLearner:
    """Learner of one arm; it works at day barriers, where all snapshots change.

    Engagement matures at the barrier of its own day. A return visit matures when its window has
    closed: then no return is an explicit zero. Pages wait on disk for the length of that window,
    about `L (4 d + 21)` bytes each, and for one day only when return visits carry no weight. A
    policy learns some of them at a time: what it learns does not depend on that.

    Args:
        policy: the arm's policy.
        rewards: components, weights and windows.
        pages: where pages wait.
    """

    def __init__(self, policy: Policy, rewards: RewardSettings, *, pages: PageFiles) -> None:
        self.policy = policy
        self._rewards = rewards
        self._pages = pages
        self._waiting: deque[int] = deque()
        self._spent: list[int] = []
        self._returned: dict[int, list[UInt64Array]] = {}

    def observe_page(
        self, decisions: Decisions, engagement: FloatArray, shards: UInt8Array
    ) -> None:
        """Take in pages of the current day.

        Args:
            decisions: as decided, in the order of the log.
            engagement: weighted engagement of each slot, `float64 [n, L]`.
            shards: shard of each unit, `uint8 [n]`.
        """
        if self.policy.learns and decisions.ids.size:
            self._pages.append(
                WaitingPages(
                    ids=decisions.ids,
                    features=decisions.shown,
                    shown=decisions.slates.positions != PAD,
                    propensities=decisions.slates.propensities,
                    shards=shards,
                    items=decisions.slates.items,
                    engagement=engagement,
                    base=decisions.slates.base,
                    base_propensity=decisions.slates.base_propensity,
                )
            )

    def observe_returns(self, session_day: int, decision_ids: UInt64Array) -> None:
        """Take in return visits, by the day and the decisions of the session before."""
        if self.policy.learns and self._rewards.return_visit.weight > 0.0:
            self._returned.setdefault(session_day, []).append(decision_ids)

    def close_day(self, day: int) -> bool:
        """Learn what matures at the end of `day`.

        Returns:
            Whether the policy learned anything, so that a new snapshot is due.
        """
        learned = False
        if self._pages.close_day(day):
            for pages in self._pages.read(day):
                self.policy.learn(_outcomes("engagement", pages, pages.engagement, day, first=True))
            learned = True
            waits = self._rewards.return_visit.weight > 0.0
            (self._waiting if waits else self._spent).append(day)
        while self._waiting and self._waiting[0] + self._rewards.return_visit.window_days <= day:
            self._learn_returns(self._waiting[0])
            self._spent.append(self._waiting.popleft())
            learned = True
        return learned

    def forget(self) -> None:
        """Delete the pages that were learned for good, once a checkpoint says so."""
        self._pages.drop(self._spent)
        self._spent = []

    def arrays(self) -> dict[str, AnyArray]:
        """What waits at a day barrier, for a checkpoint: days with pages, and the returns seen."""
        days = list(self._waiting)
        returned = [(day, np.concatenate(ids)) for day, ids in sorted(self._returned.items())]
        return {
            "page_day": np.array(days, dtype=np.int64),
            "page_marks": self._pages.marks(days),
            "returned_day": np.repeat(
                np.array([day for day, _ in returned], dtype=np.int64),
                [ids.size for _, ids in returned],
            ),
            "returned_ids": np.concatenate(
                [np.empty(0, dtype=np.uint64), *(ids for _, ids in returned)]
            ),
        }

    def restore(self, arrays: Mapping[str, AnyArray]) -> None:
        """Take over what `arrays` gave, in place of everything held.

        Raises:
            DataError: the pages of a day are not there.
        """
        days = arrays["page_day"].tolist()
        self._pages.restore(days, arrays["page_marks"])
        self._waiting = deque(days)
        self._spent = []
        self._returned = {
            int(day): [arrays["returned_ids"][arrays["returned_day"] == day]]
            for day in np.unique(arrays["returned_day"])
        }

    def _learn_returns(self, session_day: int) -> None:
        events = self._returned.pop(session_day, [])
        ids = np.concatenate(events) if events else np.empty(0, dtype=np.uint64)
        for pages in self._pages.read(session_day):
            returned = event_values(pages.ids, ids, np.ones(ids.size))
            rewards = np.repeat(
                self._rewards.return_visit.weight * returned[:, None], pages.shown.shape[1], axis=1
            )
            self.policy.learn(_outcomes("return_visit", pages, rewards, session_day, first=False))


def _outcomes(
    component: str, pages: WaitingPages, rewards: FloatArray, day: int, *, first: bool
) -> OutcomeBatch:
    return OutcomeBatch(
        component=component,
        first=first,
        features=pages.features,
        rewards=rewards,
        shown=pages.shown,
        propensities=pages.propensities,
        shards=pages.shards,
        items=pages.items,
        days=np.full(pages.ids.size, day, dtype=np.int64),
        base=pages.base,
        base_propensity=pages.base_propensity,
    )
