"""The plain twin of `play`: `Simulation` driven page by page, with a platform of library calls."""

from typing import Any

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray, IndexArray
from matinee_policies.candidates.fold_in import FoldInStatistics
from matinee_policies.candidates.seen import mark_seen
from matinee_policies.candidates.top_k import rank_reference
from matinee_policies.philox import stream_key, uniform
from matinee_simulator.draws import moment
from matinee_simulator.feedback import PageFeedback
from matinee_simulator.oracle import CLICK, SATISFACTION
from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout.page_order import take_diverse_reference
from matinee_simulator.rollout.rankers import POPULARITY, RANDOM, RELEVANCE, Ranker
from matinee_simulator.rollout.sight import Audience, Sight
from matinee_simulator.rollout.view import View, stars_of_reference, view_of
from matinee_simulator.simulation import Simulation
from matinee_simulator.world import World


class _Platform:
    """What a platform knows of the users, one at a time."""

    def __init__(self, sight: Sight, ranker: Ranker, audience: Audience) -> None:
        n = len(audience)
        self.sight = sight
        self.seen = audience.seen.copy()
        self.model = sight.popularity if ranker.code == POPULARITY else sight.taste
        self.view: View = view_of(sight, ranker)
        self.sums = FoldInStatistics(sight.taste, n)
        for name in ("gram", "pull", "counts"):
            getattr(self.sums, name)[:] = getattr(audience, name)
        self.shown: list[list[int]] = [[] for _ in range(n)]
        self.late: list[tuple[int, int, int, float]] = []

    def ranked(self, unit: int, closed: AnyArray) -> IndexArray:
        """All items that may be shown to a user, best first."""
        hidden = self.seen[unit : unit + 1].copy()
        resting = self.shown[unit][-self.sight.rest :] if self.sight.rest else []
        items = np.array([*resting, *closed], dtype=np.int32)
        mark_seen(hidden, np.zeros(items.size, dtype=np.int32), items)
        vector = self.model.prior[None] if self.model is not self.sight.taste else self.vector(unit)
        found = rank_reference(self.model, vector, hidden, self.model.n_items).items[0]
        return np.asarray(found[found >= 0])

    def vector(self, unit: int) -> AnyArray:
        """The user's vector, folded in, `float32 [1, f]`."""
        return self.sums.solve(np.array([unit], dtype=np.int32))


def play_reference(
    world: World,
    sight: Sight,
    ranker: Ranker,
    *,
    users: int,
    days: int,
    seed: int,
    parameters: Parameters,
    slots: int,
    candidates: int,
) -> tuple[list[dict[str, Any]], FloatArray]:
    """Sessions of users 0 to `users - 1`; arguments as `play`.

    Returns:
        One mapping per session, by user, then day, with the fields of `Sessions` and `slates`; and
        exposure, `[M]`.
    """
    met = sight.meet(world, users=users, seed=seed, parameters=parameters)
    platform = _Platform(sight, ranker, met)
    simulation = Simulation(world, np.arange(users), seed=seed, parameters=parameters)
    sessions: list[dict[str, Any]] = []
    exposure = np.zeros(world.n_items)
    for day in range(days):
        closed = np.flatnonzero(~simulation.available(day))
        today = simulation.begin_day(day)
        for unit in today.tolist():
            pool = platform.ranked(unit, closed)
            session: dict[str, Any] = {"user": unit, "day": day, "slates": [], "clicks": []}
            session.update(pages=0, impressions=0, examined=0, watched=np.float32(0))
            vector = platform.vector(unit)[0]
            for page in range(parameters.max_pages):
                known = pool[:candidates]
                order = _order(
                    simulation, platform, ranker, vector, unit, known, (seed, day, page), slots
                )
                shown = known[order]
                slate = np.full((1, slots), -1, dtype=np.int32)
                slate[0, : shown.size] = shown
                units = np.array([unit], dtype=np.int32)
                feedback = simulation.step_page(units, slate, page)
                _observe(platform, unit, day, slate[0], feedback)
                pool = pool[~np.isin(pool, shown)]
                depth = int(simulation.oracle().examined(units)[0])
                looked = slate[0, :depth][slate[0, :depth] >= 0]
                exposure[looked] += 1
                session["slates"].append(slate[0].tolist())
                session["clicks"].append(int(feedback.clicks.sum()))
                session["pages"] += 1
                session["impressions"] += shown.size
                session["examined"] += looked.size
                for watch in feedback.watch[feedback.clicks]:
                    session["watched"] += watch
                if feedback.left[0]:
                    break
            session["satisfaction"] = simulation.oracle().session_satisfaction()[unit]
            sessions.append(session)
        simulation.end_day()
        goodwill = simulation.oracle().goodwill()
        for session in sessions[-today.size :] if today.size else []:
            session["goodwill"] = goodwill[session["user"]]
        # At the barrier, the ratings that are due come in, in the order of their pages.
        for due, unit, item, stars in [late for late in platform.late if late[0] == day]:
            del due
            _fold_in(platform, unit, item, stars)
    sessions.sort(key=lambda session: (session["user"], session["day"]))
    return sessions, exposure


def _order(
    simulation: Simulation,
    platform: _Platform,
    ranker: Ranker,
    vector: AnyArray,
    unit: int,
    items: IndexArray,
    at: tuple[int, int, int],
    slots: int,
) -> list[int]:
    values = ranker.scale * _values(simulation, platform, ranker, vector, unit, items, at)
    if ranker.price > 0:
        vectors = platform.sight.embeddings[items]
        return take_diverse_reference(values, ranker.price, vectors, slots)
    order: list[int] = np.argsort(-values, kind="stable")[:slots].tolist()
    return order


def _values(
    simulation: Simulation,
    platform: _Platform,
    ranker: Ranker,
    vector: AnyArray,
    unit: int,
    items: IndexArray,
    at: tuple[int, int, int],
) -> FloatArray:
    if ranker.code == RANDOM:
        seed, day, page = at
        key = stream_key(seed, "rollout", "order")
        return np.array(
            [
                uniform(key, np.uint64(unit), np.uint64(moment(day, page, k)))
                for k in range(items.size)
            ]
        )
    if ranker.code == POPULARITY or (ranker.code == RELEVANCE and ranker.price == 0):
        return -np.arange(items.size, dtype=np.float64)
    if ranker.code == RELEVANCE:
        taste = platform.sight.taste
        raw = taste.item_offset[items].astype(np.float64)
        raw = raw + taste.item_factors[items].astype(np.float64) @ vector.astype(np.float64)
        return np.asarray((raw - taste.score_mean) / taste.score_scale)
    asked = np.array([unit], dtype=np.int32), items[None].astype(np.int32)
    oracle = simulation.oracle()
    if ranker.code == CLICK:
        values = oracle.click_probability(*asked)
    elif ranker.code == SATISFACTION:
        values = oracle.expected_satisfaction(*asked)
    else:
        ws, wh = ranker.satisfaction_weight, ranker.satiation_price
        values = oracle.index(*asked, satisfaction_weight=ws, satiation_price=wh)
    return np.asarray(values[0])


def _observe(
    platform: _Platform, unit: int, day: int, slate: IndexArray, feedback: PageFeedback
) -> None:
    platform.shown[unit].extend(slate[slate >= 0].tolist())
    for slot in np.flatnonzero(feedback.clicks[0]):
        item = int(slate[slot])
        mark_seen(platform.seen, np.array([unit], np.int32), np.array([item], np.int32))
        stars = stars_of_reference(platform.view, feedback.watch[0, slot : slot + 1])
        _fold_in(platform, unit, item, float(stars[0]))
        if not np.isnan(feedback.ratings[0, slot]):
            due = day + int(feedback.rating_delay[0, slot])
            platform.late.append((due, unit, item, float(feedback.ratings[0, slot])))


def _fold_in(platform: _Platform, unit: int, item: int, stars: float) -> None:
    platform.sums.add(
        np.array([unit], np.int32), np.array([item], np.int32), np.array([stars], np.float32)
    )
