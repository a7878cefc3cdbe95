"""Time of a barrier as the log grows: the rows that mature are the same, the log behind them not.

    python -m matinee_platform.learning.testing_growth --sizes 10000 100000 1000000

A log in SQLite with 200 decisions and 200 rewards a second; each barrier learns five seconds of
traffic, three lessons, by LinUCB. Times are CPU seconds of the whole step, the median of several at
the end of the log.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from matinee_platform.clock import FakeClock
from matinee_platform.learning.barrier_step import barrier_step
from matinee_platform.learning.learning_arm import LearningArm
from matinee_platform.learning.live_outcomes import DayCount
from matinee_platform.learning.matured import Place
from matinee_platform.learning.testing_live import ExampleTraffic, example_arm
from matinee_platform.storage.records import DecisionRecord, RewardRecord, ServedBy
from matinee_platform.storage.sqlite_appender import SqliteStore
from matinee_platform.storage.sqlite_reader import SqliteReader

WINDOWS_MS = (20_000, 20_000, 25_000, 30_000)
_GAP_MS = 5
_BATCH = 5_000
_STEP_MS = 5_000
_KINDS = 1_000


def step_seconds(path: Path, arm: LearningArm, *, repeats: int = 3) -> float:
    """Median CPU seconds of a barrier at the end of a log."""
    reader = SqliteReader(path)
    end = reader.last_seq()
    newest = reader.decisions(after=end - 2, upto=end)[-1].record.decided_at
    places = [
        # Every decision has a reward behind it: two places of the log for each gap of time.
        Place(end - 2 * (back * _STEP_MS // _GAP_MS), newest - back * _STEP_MS)
        for back in range(repeats, -1, -1)
    ]
    times, state = [], arm.genesis
    for before, now in itertools.pairwise(places):
        started = time.process_time()
        step = barrier_step(
            arm, state, reader=reader, before=before, now=now, days=DayCount(newest)
        )
        times.append(time.process_time() - started)
        state = step.snapshot
        if set(step.learned.values()) != {_STEP_MS // _GAP_MS}:
            raise RuntimeError(f"a barrier must learn its five seconds, got {step.learned}")
    reader.close()
    return statistics.median(times)


async def grow(path: Path, arm: LearningArm, *, sizes: Sequence[int]) -> None:
    """Let a log grow; measure at each size and print."""
    traffic = ExampleTraffic(arm, clock=FakeClock())
    kinds = [replace(one, served_by=ServedBy.POLICY) for one in traffic.decide(_KINDS)]
    store = SqliteStore(path, windows=lambda _: WINDOWS_MS)
    await store.open()
    done = 0
    for size in sorted(sizes):
        for start in range(done, size, _BATCH):
            await store.write(list(_rows(kinds, start, min(start + _BATCH, size))))
        done = size
        seconds = round(step_seconds(path, arm), 4)
        print(json.dumps({"decisions": size, "step_seconds": seconds}), flush=True)
    await store.close()


def _rows(
    kinds: Sequence[DecisionRecord], start: int, end: int
) -> Iterator[DecisionRecord | RewardRecord]:
    first = FakeClock().now_ms()
    for number in range(start, end):
        at = first + number * _GAP_MS
        kind = kinds[number % len(kinds)]
        yield replace(kind, decision_id=number, decided_at=at, unit=kind.unit ^ number)
        yield RewardRecord(
            reward_key=number.to_bytes(16, "little"),
            body_digest=bytes(16),
            decision_id=number,
            component=0,
            slot=number % 4,
            value=1.0,
            received_at=at + 1,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    options = parser.parse_args(arguments)
    arm = example_arm(windows_ms=WINDOWS_MS)
    with tempfile.TemporaryDirectory(prefix="matinee-growth-") as folder:
        path = Path(folder) / "events.sqlite"
        asyncio.run(grow(path, arm, sizes=options.sizes))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
