"""Hold decisions until their windows close, then let the policy learn each component once."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from matinee_platform.engine import Decisions
from matinee_platform.join import event_values
from matinee_platform.settings import RewardSettings
from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    Int8Array,
    UInt8Array,
    UInt64Array,
)
from matinee_policies.policy import Policy
from matinee_policies.records import PAD, OutcomeBatch


@dataclass(frozen=True, slots=True)
class _Pages:
    """Logged pages of one day that wait for their windows; fields as in `OutcomeBatch`."""

    ids: UInt64Array
    features: Float32Array
    shown: BoolArray
    propensities: FloatArray
    shards: UInt8Array
    items: IndexArray
    engagement: FloatArray
    base: Int8Array | None
    base_propensity: FloatArray | None


class ArmLearner:
    """Learner of one arm; it works at day barriers, where all snapshots change.

    Engagement matures at the barrier of its own day. A return visit matures when its window has
    closed: then no return is an explicit zero. Pages are held for the length of that window, about
    `L (4 d + 21)` bytes each, and for one day only when return visits carry no weight.

    Args:
        policy: the arm's policy.
        rewards: components, weights and windows.
    """

    def __init__(self, policy: Policy, rewards: RewardSettings) -> None:
        self.policy = policy
        self._rewards = rewards
        self._today: list[_Pages] = []
        self._waiting: deque[tuple[int, _Pages]] = deque()
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
        if self.policy.learns:
            self._today.append(
                _Pages(
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
        if self._today:
            pages = _concatenate(self._today)
            self._today = []
            self.policy.learn(_outcomes("engagement", pages, pages.engagement, day, first=True))
            learned = True
            if self._rewards.return_visit.weight > 0.0:
                self._waiting.append((day, pages))
        while self._waiting and self._waiting[0][0] + self._rewards.return_visit.window_days <= day:
            self._learn_returns(*self._waiting.popleft())
            learned = True
        return learned

    def arrays(self) -> dict[str, AnyArray]:
        """What waits at a day barrier, for a checkpoint: pages by day, and the returns seen."""
        days = [day for day, _ in self._waiting]
        counts = [pages.ids.size for _, pages in self._waiting]
        held = _concatenate([pages for _, pages in self._waiting]) if days else None
        returned = [(day, np.concatenate(ids)) for day, ids in sorted(self._returned.items())]
        return {
            "page_day": np.repeat(np.array(days, dtype=np.int64), counts),
            "returned_day": np.repeat(
                np.array([day for day, _ in returned], dtype=np.int64),
                [ids.size for _, ids in returned],
            ),
            "returned_ids": np.concatenate(
                [np.empty(0, dtype=np.uint64), *(ids for _, ids in returned)]
            ),
            **{field.name: _stored(held, field.name) for field in fields(_Pages)},
        }

    def restore(self, arrays: Mapping[str, AnyArray]) -> None:
        """Take over what `arrays` gave, in place of everything held."""
        self._today = []
        self._waiting.clear()
        for day in np.unique(arrays["page_day"]):
            here = arrays["page_day"] == day
            pages = _Pages(
                **{field.name: _restored(arrays[field.name], here) for field in fields(_Pages)}
            )
            self._waiting.append((int(day), pages))
        self._returned = {
            int(day): [arrays["returned_ids"][arrays["returned_day"] == day]]
            for day in np.unique(arrays["returned_day"])
        }

    def _learn_returns(self, session_day: int, pages: _Pages) -> None:
        events = self._returned.pop(session_day, [])
        ids = np.concatenate(events) if events else np.empty(0, dtype=np.uint64)
        returned = event_values(pages.ids, ids, np.ones(ids.size))
        rewards = np.repeat(
            self._rewards.return_visit.weight * returned[:, None], pages.shown.shape[1], axis=1
        )
        self.policy.learn(_outcomes("return_visit", pages, rewards, session_day, first=False))


def _outcomes(
    component: str, pages: _Pages, rewards: FloatArray, day: int, *, first: bool
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


def _concatenate(parts: list[_Pages]) -> _Pages:
    return _Pages(
        **{
            field.name: _joined([getattr(part, field.name) for part in parts])
            for field in fields(_Pages)
        }
    )


def _joined(parts: list[AnyArray | None]) -> Any:
    """One array of many; None where a policy gives none. A policy gives it always or never."""
    given = [part for part in parts if part is not None]
    return np.concatenate(given) if given else None


def _stored(held: _Pages | None, name: str) -> AnyArray:
    """A field for a checkpoint: an array of length 0 where there is none."""
    values: AnyArray | None = None if held is None else getattr(held, name)
    return np.empty(0) if values is None else values


def _restored(values: AnyArray, here: BoolArray) -> Any:
    """The rows of a day from a checkpoint; days without pages are not in it, so none means None."""
    return values[here] if values.size else None
