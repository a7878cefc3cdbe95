"""Logs of simulated users under one policy, beside the truth of another at the same contexts.

The reference setting: 20 candidates, pages of 5. Users come back, tire and remember, so rows of one
of them resemble each other. Users are dealt to logs; all else is the product's own: candidates of
the factor model, features, laws, draws. At every page the oracle says what pages of the other
policy, drawn there, would have earned: exact given the page, so only those draws are noise.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, cast

import numpy as np

from matinee_platform.decision_ids import decision_ids
from matinee_platform.decision_keys import DecisionKeys
from matinee_platform.offline.interleaved_side import Side, new_side
from matinee_platform.offline.prepare import Prepared, draw_roster, prepare, world_parameters
from matinee_platform.ope.inputs.item_genres import main_genres
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_policies.arrays import (
    AnyArray,
    FloatArray,
    IndexArray,
    Int64Array,
    UInt64Array,
)
from matinee_policies.features import FEATURE_NAMES
from matinee_policies.policy import Policy
from matinee_policies.records import PAD, ContextBatch, SlateBatch
from matinee_policies.registry import build_policy
from matinee_simulator.feedback import PageFeedback
from matinee_simulator.oracle import Oracle
from matinee_simulator.simulation import Simulation

K, SLOTS = 20, 5
DAYS = 6
TRUTH_DRAWS = 4
"""Pages of the other policy at each context."""

LOGGING = {"kind": "softmax", "temperature": 0.01, "floor": 0.02}
TARGET = {"kind": "softmax", "temperature": 0.006, "floor": 0.02, "diversity": 0.01}
UNIFORM = {"kind": "uniform"}

_DAY_MS, _PAGE_MS = 86_400_000, 60_000
_MAX_BLOCK = 4_096


class KnownLaw(Policy, Protocol):
    """A policy whose law of the next slot is known, of every candidate."""

    def next_law(self, contexts: ContextBatch, prefix: IndexArray, *, slots: int) -> FloatArray:
        """See `ValuePolicy.next_law`."""


@dataclass(frozen=True, slots=True, eq=False)
class Pages:
    """Rows of one log, in the order of time; `n` pages of `L` slots.

    Attributes:
        log: which one, `int64 [n]`.
        unit: pseudonyms, `uint64 [n]`.
        time: `int64 [n]`.
        clicks: `float64 [n, L]`.
        logged: probability of the item shown, `float64 [n, L]`.
        positions: of the items shown among the candidates, `int32 [n, L]`.
        contexts: what the policy saw, of `n` decisions.
        truth: expected clicks of the other policy's pages there, `float64 [n, L]`.
        given: expected clicks at each slot of an item of the other policy's, under the items that
            the log shows above, `float64 [n, L]`.
        doubt: variance of `truth` summed over slots, from the draws of pages, `float64 [n]`.
        own: expected clicks of the pages shown, `float64 [n, L]`.
    """

    log: Int64Array
    unit: UInt64Array
    time: Int64Array
    clicks: FloatArray
    logged: FloatArray
    positions: IndexArray
    contexts: ContextBatch
    truth: FloatArray
    given: FloatArray
    doubt: FloatArray
    own: FloatArray

    def __len__(self) -> int:
        return int(self.unit.size)

    def take(self, rows: AnyArray) -> "Pages":
        """Some rows."""
        return Pages(
            **{name: array[rows] for name, array in self.arrays().items()},
            contexts=self.contexts.rows(rows),
        )

    def arrays(self) -> dict[str, AnyArray]:
        """All but the contexts, by name."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "contexts"}

    @staticmethod
    def concatenate(parts: Sequence["Pages"]) -> "Pages":
        """All rows of some parts, in turn."""
        names = parts[0].arrays()
        return Pages(
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names},
            contexts=ContextBatch.concatenate([part.contexts for part in parts]),
        )


class OpeWorld:
    """Simulated users and two policies over them.

    Args:
        users: how many there are in all.
        logging: kind and settings of the policy that chooses.
        target: of the one that is evaluated.
        seed: of the world and of everyone in it.

    Attributes:
        genres: of each item, once a log was played, `int64 [M]`.
    """

    def __init__(
        self,
        *,
        users: int,
        logging: dict[str, Any],
        target: dict[str, Any],
        seed: int = 1,
    ) -> None:
        self.settings = _settings(users, logging, seed)
        self._shared: Prepared = prepare(self.settings)
        self._pseudonyms = draw_roster(self.settings).pseudonyms
        self._logging, self._target = policy_of(logging), policy_of(target)
        self.genres: Int64Array = np.zeros(0, dtype=np.int64)

    def logs(self, *, users: int, at_once: int) -> Iterator[Pages]:
        """All logs, of so many users each.

        Args:
            users: in one log.
            at_once: logs that are played side by side.
        """
        for first in range(0, self.settings.users, users * at_once):
            stop = min(first + users * at_once, self.settings.users)
            pages = self._play(np.arange(first, stop, dtype=np.int64), users)
            order = np.lexsort((pages.unit, pages.time, pages.log))
            pages = pages.take(order)
            cuts = np.flatnonzero(np.diff(pages.log)) + 1
            for rows in np.split(np.arange(len(pages)), cuts):
                yield pages.take(rows)

    def _play(self, numbers: Int64Array, users: int) -> Pages:
        side = new_side(
            self.settings,
            self.settings.arms[0],
            users=numbers,
            pseudonyms=self._pseudonyms[numbers],
            shared=self._shared,
            policy=self._logging,
        )
        self.genres = main_genres(side.contexts.items)
        play = _Play(
            self.settings,
            self._shared,
            side,
            (self._logging, self._target),
            numbers=numbers,
            pseudonyms=self._pseudonyms[numbers],
        )
        rows = [rows for day in range(self.settings.days) for rows in play.day(day)]
        pages = Pages.concatenate(rows)
        return replace(pages, log=pages.log // users)


class _Play:
    """Some users, day by day."""

    def __init__(
        self,
        settings: ExperimentSettings,
        shared: Prepared,
        side: Side,
        policies: tuple[KnownLaw, KnownLaw],
        *,
        numbers: Int64Array,
        pseudonyms: UInt64Array,
    ) -> None:
        parameters = world_parameters(settings)
        self._side, (self._logging, self._target) = side, policies
        self._numbers, self._pseudonyms = numbers, pseudonyms
        self._plays, self._max_pages = shared.plays, parameters.max_pages
        self._keys = [DecisionKeys(bytes([k] * 16)) for k in range(1 + TRUTH_DRAWS)]
        self._rng = np.random.default_rng([int(numbers[0]), settings.seed])
        self._simulation = Simulation(
            shared.world, numbers, seed=settings.seed, parameters=parameters
        )

    def day(self, day: int) -> Iterator[Pages]:
        """Pages of one day."""
        active = self._simulation.begin_day(day)
        self._side.shelf.open_day(day)
        for start in range(0, active.size, _MAX_BLOCK):
            yield from self._serve(active[start : start + _MAX_BLOCK], day)
        self._simulation.end_day()
        self._side.units.refresh_vectors()

    def _serve(self, block: IndexArray, day: int) -> Iterator[Pages]:
        side = self._side
        side.units.open_sessions(block, day)
        pool = side.pool(block, pages=self._max_pages)
        visits: IndexArray = np.arange(block.size, dtype=np.int32)
        page = 0
        while visits.size:
            units = block[visits]
            candidates = pool.take(visits, K)
            contexts = side.contexts.build(
                side.units.as_seen(units), candidates.items, candidates.scores
            )
            ids = decision_ids(np.uint64(day + 1), self._numbers[units], day, page)
            slates = side.policy.decide(contexts, slots=SLOTS, keys=self._keys[0].of(ids))
            pool.mark_shown(visits, candidates, slates.positions)
            oracle = self._simulation.oracle()
            truth, doubt = self._truth(oracle, units, contexts, ids)
            own = oracle.click_chances(units, slates.items)
            given = self._given(oracle, units, contexts, slates)
            feedback = self._simulation.step_page(units, slates.items, page)
            yield Pages(
                log=self._numbers[units],
                unit=self._pseudonyms[units],
                time=np.full(units.size, day * _DAY_MS + page * _PAGE_MS),
                clicks=feedback.clicks.astype(np.float64),
                logged=slates.propensities,
                positions=slates.positions,
                contexts=contexts,
                truth=truth,
                given=given,
                doubt=doubt,
                own=own,
            )
            self._observe(units, slates.items, feedback)
            visits, page = visits[~feedback.left], page + 1
        side.units.close_sessions(block, day)

    def _truth(
        self, oracle: Oracle, units: IndexArray, contexts: ContextBatch, ids: UInt64Array
    ) -> tuple[FloatArray, FloatArray]:
        drawn = np.zeros((TRUTH_DRAWS, units.size, SLOTS))
        for chances, keys in zip(drawn, self._keys[1:], strict=True):
            slates = self._target.decide(contexts, slots=SLOTS, keys=keys.of(ids))
            chances[:] = oracle.click_chances(units, slates.items)
        return drawn.mean(axis=0), drawn.sum(axis=2).var(axis=0, ddof=1) / TRUTH_DRAWS

    def _given(
        self, oracle: Oracle, units: IndexArray, contexts: ContextBatch, slates: SlateBatch
    ) -> FloatArray:
        """Clicks of an item of the other policy at each slot, below what the log shows above it."""
        given = np.zeros((len(contexts), SLOTS))
        for slot in range(SLOTS):
            prefix = np.ascontiguousarray(slates.positions[:, :slot])
            law = self._target.next_law(contexts, prefix, slots=SLOTS)
            pages = self._next_page(contexts, slates, law, slot)
            given[:, slot] = oracle.click_chances(units, pages)[:, slot]
        return given

    def _next_page(
        self, contexts: ContextBatch, slates: SlateBatch, law: FloatArray, slot: int
    ) -> IndexArray:
        """Pages as logged above a slot, one item drawn from a law there, and nothing below."""
        below = self._rng.random(len(law))[:, None] * law.sum(axis=1, keepdims=True)
        drawn = (np.cumsum(law, axis=1) <= below).sum(axis=1)
        # Rounding may put the number beyond the last candidate of mass.
        drawn = np.minimum(drawn, law.shape[1] - 1 - (law[:, ::-1] > 0).argmax(axis=1))
        pages: IndexArray = slates.items.copy()
        pages[:, slot] = contexts.candidates[np.arange(len(law)), drawn]
        pages[:, slot + 1 :] = PAD
        return pages

    def _observe(self, units: IndexArray, items: IndexArray, feedback: PageFeedback) -> None:
        rows, slots = np.nonzero(feedback.clicks)
        stars = self._plays.stars(feedback.watch[rows, slots])
        self._side.units.observe_page(units, items, feedback.clicks)
        self._side.units.observe_ratings(units[rows], items[rows, slots], stars)


def _settings(users: int, logging: dict[str, Any], seed: int) -> ExperimentSettings:
    return parse_settings(
        {
            "name": "off_policy",
            "users": users,
            "days": DAYS,
            "seed": seed,
            "slots": SLOTS,
            "candidates": K,
            "arms": [{"name": "logging", "policy": logging}],
        }
    )


def policy_of(config: dict[str, Any]) -> KnownLaw:
    """A policy from its kind and settings."""
    values = {name: value for name, value in config.items() if name != "kind"}
    policy = build_policy(str(config["kind"]), values, dimension=len(FEATURE_NAMES))
    return cast("KnownLaw", policy)
