"""Serve the sessions of one day of one arm: candidates, decisions, log, users, what they did.

The order of everything that is logged or learned is (day, block of sessions, page, unit). Blocks
have a fixed size, so neither the batch size nor the number of processes shows in the result, and
memory does not grow with the number of users who visit on a day.
"""

from collections.abc import Iterator

import numpy as np

from matinee_platform.candidate_pool import CandidatePool, PageCandidates
from matinee_platform.decision_ids import decision_ids
from matinee_platform.engine import Decisions, log_rows
from matinee_platform.join import engagement_rewards
from matinee_platform.offline.arm_state import ArmState
from matinee_platform.offline.reference import reference_scores
from matinee_platform.reward_rows import page_rewards, return_rewards
from matinee_platform.unit_state import NEVER
from matinee_policies.arrays import BoolArray, IndexArray, Int64Array, UInt64Array
from matinee_policies.candidates.top_k import Candidates
from matinee_simulator.feedback import PageFeedback
from matinee_simulator.history import RUN_START

SESSION_BLOCK = 4_096
"""Sessions served together; part of the definition of the log's order."""

_PAGES_RANKED_FIRST = 3
"""Nine visits in ten have no more pages; the others are ranked again, deeper, for the rest."""

DAY_MS = 86_400_000
PAGE_MS = 60_000
"""From a page of a session to the next one."""

_SESSION_START_MS = 19 * 3_600_000


def serve_sessions(state: ArmState, active: IndexArray, day: int) -> None:
    """Serve every session of a day.

    Args:
        state: of the arm.
        active: units that visit, rising, `int32 [a]`.
        day: day of the run.
    """
    _log_returns(state, active, day)
    state.shelf.open_day(day)
    for start in range(0, active.size, SESSION_BLOCK):
        block = active[start : start + SESSION_BLOCK]
        state.units.open_sessions(block, day)
        _serve_block(state, block, day)
        state.units.close_sessions(block, day)
        state.rows.release()


def _log_returns(state: ArmState, active: IndexArray, day: int) -> None:
    """Credit today's visits to the pages of each unit's session before, within the window."""
    last = state.units.last_visit[active]
    within = (last != NEVER) & (day - last <= state.settings.reward.return_visit.window_days)
    pages = state.pages_of_last_session[active]
    late = pages[(last != NEVER) & ~within]
    state.kpis.observe_returns(joined=int(pages[within].sum()), late=int(late.sum()))
    back = active[within]
    for session_day, ids in pages_returned_to(
        state.users[back],
        last_visit=last[within],
        pages=state.pages_of_last_session[back],
        id_seed=state.id_seed,
    ):
        state.log.append_rewards(return_rewards(ids, day))
        state.learner.observe_returns(session_day, ids)


def pages_returned_to(
    users: Int64Array, *, last_visit: IndexArray, pages: IndexArray, id_seed: np.uint64
) -> Iterator[tuple[int, UInt64Array]]:
    """Decisions of the session before, of users who are back.

    Args:
        users: their numbers, `int64 [n]`.
        last_visit: day of that session of each, `int32 [n]`.
        pages: its pages, `int32 [n]`.
        id_seed: of the arm's decision ids.

    Yields:
        Each day of such a session, rising, and the ids of its pages, by user and page.
    """
    for session_day in np.unique(last_visit):
        own = last_visit == session_day
        counts = pages[own]
        numbers = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        ids = decision_ids(
            id_seed, np.repeat(users[own], counts), int(session_day), numbers.astype(np.int32)
        )
        yield int(session_day), ids


def page_time(day: int, page: int, *, start_ms: int = RUN_START * 1_000) -> int:
    """When a page of a day's sessions is shown, UTC milliseconds.

    Args:
        day: of the run.
        page: of the session.
        start_ms: when day 0 begins.
    """
    return start_ms + _SESSION_START_MS + day * DAY_MS + page * PAGE_MS


def _serve_block(state: ArmState, block: IndexArray, day: int) -> None:
    settings = state.settings
    state.pages_of_last_session[block] = 0
    with state.clock.stage("candidates"):
        # As it is now, before the visits: what they click must not move their own candidates.
        hidden = state.units.hidden(block)
        first = min(_PAGES_RANKED_FIRST, state.max_pages)
        pool = CandidatePool(_ranked(state, block, hidden, pages=first))
    visits: IndexArray = np.arange(block.size, dtype=np.int32)
    page = 0
    while visits.size:
        if page == first:
            with state.clock.stage("candidates"):
                block, hidden = block[visits], hidden[visits]
                pool = pool.deepened(visits, _ranked(state, block, hidden, pages=state.max_pages))
                visits = np.arange(block.size, dtype=np.int32)
        left = np.concatenate(
            [
                _serve_page(state, pool, block, batch, day=day, page=page)
                for batch in _batches(visits, settings.batch_size)
            ]
        )
        visits, page = visits[~left], page + 1
    with state.clock.stage("exploration"):
        state.kpis.observe_exploration(*state.exploration.flush(state.policy))


def _ranked(state: ArmState, units: IndexArray, hidden: UInt64Array, *, pages: int) -> Candidates:
    """Enough candidates of each unit for so many pages of a visit."""
    depth = state.settings.candidates + state.settings.slots * (pages - 1)
    return state.shelf.rank(units, state.units.vectors[units], hidden, depth=depth)


def _serve_page(
    state: ArmState,
    pool: CandidatePool,
    block: IndexArray,
    visits: IndexArray,
    *,
    day: int,
    page: int,
) -> BoolArray:
    """Decide, log and play one page of some visits; says who leaves afterwards."""
    units = block[visits]
    with state.clock.stage("candidates"):
        candidates = _page_candidates(state, pool, visits, units)
        seen = state.units.as_seen(units)
    with state.clock.stage("decide"):
        ids = decision_ids(state.id_seed, state.users[units], day, page)
        decisions = state.engine.decide(ids, seen, candidates.items, candidates.scores)
        pool.mark_shown(visits, candidates, decisions.slates.positions)
    with state.clock.stage("log"):
        rows = log_rows(
            decisions,
            seen,
            unit=state.pseudonyms[units],
            bucket=state.buckets[units],
            day=day,
            page=page,
            decided_at=page_time(day, page),
        )
        state.log.append_decisions(rows)
        sampled = decisions.sampled()
        state.log.append_features(ids[sampled], state.engine.features(decisions, seen, sampled))
    with state.clock.stage("regret"):
        oracle = state.simulation.oracle()
        state.regret.append(oracle, units, state.pseudonyms[units], decisions)
    with state.clock.stage("exploration"):
        state.exploration.append(state.policy, units, state.pseudonyms[units], decisions)
    with state.clock.stage("users"):
        feedback = state.simulation.step_page(units, decisions.slates.items, page)
    _observe(state, units, decisions, feedback, day)
    return feedback.left


def _page_candidates(
    state: ArmState, pool: CandidatePool, visits: IndexArray, units: IndexArray
) -> PageCandidates:
    candidates = pool.take(visits, state.settings.candidates)
    if not state.arm.reference:
        return candidates
    scores = reference_scores(
        state.arm.policy["kind"], state.simulation.oracle(), units, candidates.items
    )
    return PageCandidates(candidates.items, scores, candidates.places)


def _observe(
    state: ArmState, units: IndexArray, decisions: Decisions, feedback: PageFeedback, day: int
) -> None:
    with state.clock.stage("log"):
        state.log.append_rewards(page_rewards(decisions.ids, feedback.clicks, feedback.watch, day))
    if state.policy.learns:
        with state.clock.stage("learn"):
            engagement = engagement_rewards(
                feedback.clicks, feedback.watch, state.settings.reward.engagement
            )
            state.learner.observe_page(
                decisions, engagement, state.shards[units], clicks=feedback.clicks
            )
    with state.clock.stage("state"):
        state.pages_of_last_session[units] += 1
        state.units.observe_page(units, decisions.slates.items, feedback.clicks)
        rows, slots = np.nonzero(feedback.clicks)
        state.units.observe_ratings(
            units[rows],
            decisions.slates.items[rows, slots],
            state.plays.stars(feedback.watch[rows, slots]),
        )
        state.late_ratings.hold(
            units,
            ids=decisions.ids,
            slates=decisions.slates.items,
            feedback=feedback,
            day=day,
        )
    with state.clock.stage("metrics"):
        state.kpis.observe_pages(
            units,
            decisions.slates,
            feedback.clicks,
            feedback.watch,
            candidates=decisions.contexts.candidates,
        )


def _batches(visits: IndexArray, size: int) -> Iterator[IndexArray]:
    for start in range(0, visits.size, size):
        yield visits[start : start + size]
