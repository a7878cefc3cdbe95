"""Make up the log of a large run, as `matinee export` writes it, in bounded memory.

Users arrive within the first weeks, most of them early, and come back by a chance of their own:
some 6.5 days of 28 each, 2.5 pages a visit, one click in ten slots, a watch with each click, a
return visit with each visit after the first. Lists that no analysis reads are short, or drawn from
a few rows: they take room in the files and nothing else.
"""

from pathlib import Path

import numpy as np

from matinee_platform.log_rows import DecisionRows, RewardRows
from matinee_platform.log_schema import decision_table, reward_table
from matinee_platform.parquet_part import ParquetPart
from matinee_policies.arrays import AnyArray, IndexArray

ARMS = ("old", "new")
START_MS = 1_577_836_800_000
DAY_MS = 86_400_000
SLOTS, GENRES, CANDIDATES = 10, 18, 10
_BLOCK = 16_384
_CLICKS, _PAGES = 0.1, 2.5
_POOL = 512


def write_log(folder: Path, *, users: int, days: int, seed: int = 7) -> dict[str, int]:
    """Write a log of two arms.

    Args:
        folder: takes `decisions/ARM` and `rewards/ARM`.
        users: of both arms.
        days: of the experiment.
        seed: of the draws.

    Returns:
        Rows by kind.
    """
    draws = np.random.default_rng(seed)
    unit = draws.integers(0, 2**64, size=users, dtype=np.uint64)
    bucket = draws.integers(0, 10_000, size=users, dtype=np.int16)
    early = draws.random(users) < 0.6
    arrival = draws.integers(0, np.where(early, max(days // 7, 1), max(days // 2, 1)))
    chance = draws.beta(0.8, 2.6, size=users)
    written = {"decisions": 0, "rewards": 0}
    pool = _Pool(draws)
    for day in range(days):
        comes = (arrival == day) | ((arrival < day) & (draws.random(users) < chance))
        for arm, name in enumerate(ARMS):
            here = np.flatnonzero(comes & ((bucket >= 5_000) == arm)).astype(np.int32)
            files = {kind: folder / kind / name for kind in written}
            for path in files.values():
                path.mkdir(parents=True, exist_ok=True)
            part = f"part-{day:05d}.parquet"
            with (
                ParquetPart(files["decisions"] / part) as decisions,
                ParquetPart(files["rewards"] / part) as rewards,
            ):
                for start in range(0, here.size, _BLOCK):
                    who = here[start : start + _BLOCK]
                    rows, events = _block(
                        draws, pool, unit, bucket, who, day=day, returning=arrival[who] < day
                    )
                    written["decisions"] += decisions.write(decision_table(rows))
                    written["rewards"] += rewards.write(reward_table(events))
    return written


class _Pool:
    """Lists that rows are drawn from."""

    def __init__(self, draws: np.random.Generator) -> None:
        self.state = draws.random((_POOL, 2 * GENRES + 2), dtype=np.float32)
        self.scores = draws.random((_POOL, CANDIDATES), dtype=np.float32)
        self.propensities = draws.random((_POOL, SLOTS))


def _block(
    draws: np.random.Generator,
    pool: _Pool,
    unit: AnyArray,
    bucket: AnyArray,
    who: IndexArray,
    *,
    day: int,
    returning: AnyArray,
) -> tuple[DecisionRows, RewardRows]:
    """The visits of some users on a day, page by page."""
    pages = np.minimum(draws.geometric(1 / _PAGES, size=who.size), 30)
    page = np.concatenate([np.full((pages > p).sum(), p) for p in range(pages.max(initial=0))])
    rows = np.concatenate([np.flatnonzero(pages > p) for p in range(pages.max(initial=0))])
    n, user = rows.size, who[rows]
    ids = draws.integers(0, 2**64, size=n, dtype=np.uint64)
    picks = draws.integers(0, _POOL, size=n)
    candidates = draws.integers(0, 3_000, size=(n, CANDIDATES), dtype=np.int32)
    state = pool.state[picks]
    state[:, -1] = -1.0
    decisions = DecisionRows(
        decision_id=ids,
        unit=unit[user],
        bucket=bucket[user],
        day=np.full(n, day, dtype=np.int16),
        page=page.astype(np.int16),
        decided_at=START_MS + day * DAY_MS + 68_400_000 + 60_000 * page.astype(np.int64),
        snapshot=np.full(n, day, dtype=np.int32),
        feature_version=np.ones(n, dtype=np.int16),
        catalogue_version=np.full(n, 4_711, dtype=np.uint64),
        served_by=(draws.random(n) < 0.001).astype(np.int8),
        last_watched=candidates[:, 0],
        unit_state=state,
        candidates=candidates,
        scores=pool.scores[picks],
        slate=candidates[:, :SLOTS],
        propensities=pool.propensities[picks],
    )
    row, slot = np.nonzero(draws.random((n, SLOTS), dtype=np.float32) < _CLICKS)
    back = np.flatnonzero(returning[rows] & (page == 0))
    watch = draws.random(row.size, dtype=np.float32)
    rewards = RewardRows(
        decision_id=np.concatenate([ids[back], ids[row], ids[row]]),
        component=np.repeat(np.array([3, 0, 1], dtype=np.int8), [back.size, row.size, row.size]),
        slot=np.concatenate([np.full(back.size, -1), slot, slot]).astype(np.int16),
        value=np.concatenate([np.ones(back.size + row.size, dtype=np.float32), watch]),
        day=np.full(back.size + 2 * row.size, day, dtype=np.int16),
    )
    return decisions, rewards
