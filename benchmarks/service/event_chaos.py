"""Kill a writer of the event log again and again; look for acknowledged events that are gone.

    python benchmarks/service/event_chaos.py DATA_DIR --kills 100
    python benchmarks/service/event_chaos.py DATA_DIR --kills 30 --database postgresql://USER@HOST/NAME

A child process appends decisions and rewards from several tasks, some of them twice, and writes
each acknowledgement to a pipe. It is killed with SIGKILL at a random moment; the next one goes on
in the same log. At the end every acknowledged event must be in the log once, with the body that was
acknowledged, at the place that was acknowledged.
"""

import argparse
import asyncio
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from matinee_platform.service.settings import ServiceSettings
from matinee_platform.storage.event_log import event_reader, make_event_log
from matinee_platform.storage.ports import EventAppender, EventReader
from matinee_platform.storage.records import DecisionRecord, Outcome, RewardRecord
from matinee_platform.storage.testing_events import example_decision, example_reward, windows

TASKS = 16
_ROUND = 10**7


@dataclass(slots=True)
class Kills:
    """What a series of kills showed.

    Attributes:
        kills: of the writer.
        decisions: acknowledged, with the place in the log (-1: by the spool).
        rewards: acknowledged, likewise.
        seconds: between first and last acknowledgement of all rounds.
        wrong: what was lost, doubled or changed, in words.
    """

    kills: int = 0
    decisions: dict[int, int] = field(default_factory=dict)
    rewards: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Acknowledged events of one second of writing."""
        return (len(self.decisions) + len(self.rewards)) / max(self.seconds, 1e-9)


def kill_writers(data_dir: Path, *, database: str, kills: int, seed: int = 0) -> Kills:
    """Run and kill writers, then compare the log with what they acknowledged."""
    draws = random.Random(seed)  # noqa: S311 - when to kill
    found = Kills()
    for number in range(kills):
        _one_round(data_dir, database, number, draws.uniform(0.05, 0.6), found)
        found.kills += 1
    settings = _settings(data_dir, database)
    asyncio.run(_drain(settings))
    reader = event_reader(settings)
    _compare(reader, found)
    reader.close()
    return found


def _settings(data_dir: Path, database: str) -> ServiceSettings:
    return ServiceSettings.model_validate({"data_dir": data_dir, "database": database})


def _one_round(data_dir: Path, database: str, number: int, wait: float, found: Kills) -> None:
    # Writers are forked from a server that has imported everything: seconds less for each.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([make_event_log.__module__, example_decision.__module__])
    reader, writer = context.Pipe(duplex=False)
    child = context.Process(target=_write_round, args=(data_dir, database, number, writer))
    child.start()
    writer.close()
    with os.fdopen(os.dup(reader.fileno()), "rb") as acknowledged:
        reader.close()
        lines = [acknowledged.readline()]
        started = time.monotonic()
        reading = threading.Thread(target=lambda: lines.extend(acknowledged))
        reading.start()
        time.sleep(wait)
        child.kill()
        reading.join()
        found.seconds += time.monotonic() - started
    child.join()
    if child.exitcode != -signal.SIGKILL:
        found.wrong.append(f"round {number}: the writer ended by itself")
    child.close()
    for line in lines:
        # A line that was cut was not acknowledged.
        if line.endswith(b"\n"):
            kind, event, place = line.split()
            seen = found.decisions if kind == b"d" else found.rewards
            seen[int(event)] = int(place)


async def _drain(settings: ServiceSettings) -> None:
    log = await make_event_log(settings, windows=windows)
    while log.appender.spooled:
        await asyncio.sleep(0.05)
    await log.appender.close()
    log.reader.close()


def _compare(reader: EventReader, found: Kills) -> None:
    last, after = reader.last_seq(), 0
    places: set[int] = set()
    decisions: dict[int, tuple[int, DecisionRecord]] = {}
    rewards: dict[int, tuple[int, RewardRecord]] = {}
    while after < last:
        upto = min(last, after + 5_000)
        for one in reader.decisions(after=after, upto=upto):
            places.add(one.seq)
            decisions[one.record.decision_id] = (one.seq, one.record)
        for reward in reader.rewards(after=after, upto=upto):
            places.add(reward.seq)
            rewards[int.from_bytes(reward.record.reward_key, "big")] = (reward.seq, reward.record)
        after = upto
    if places != set(range(1, last + 1)) or len(places) != len(decisions) + len(rewards):
        found.wrong.append(f"{last} places, {len(decisions)} decisions, {len(rewards)} rewards")
    for number, place in found.decisions.items():
        seq, record = decisions.get(number, (0, None))
        if record != example_decision(number) or (place not in (-1, seq)):
            found.wrong.append(f"decision {number}: acknowledged at {place}, found at {seq}")
    for number, place in found.rewards.items():
        seq, event = rewards.get(number, (0, None))
        if event != example_reward(number, decision=number) or (place not in (-1, seq)):
            found.wrong.append(f"reward {number}: acknowledged at {place}, found at {seq}")


def _write_round(data_dir: Path, database: str, number: int, told: Connection) -> None:
    """Append for ever, telling of each acknowledgement."""
    asyncio.run(_write(_settings(data_dir, database), number, told.fileno()))


async def _write(settings: ServiceSettings, number: int, told: int) -> None:
    log = await make_event_log(settings, windows=windows)
    await asyncio.gather(*(_write_some(log.appender, number, task, told) for task in range(TASKS)))


async def _write_some(appender: EventAppender, number: int, task: int, told: int) -> None:
    event = number * _ROUND + task
    while True:
        for again in range(1 + (event % 5 == 0)):
            expected = Outcome.REPEATED if again else Outcome.STORED
            receipt = await appender.append_decision(example_decision(event))
            (answer,) = await appender.append_rewards([example_reward(event, decision=event)])
            if receipt.outcome is not expected or answer.outcome is not expected:
                raise SystemExit(f"event {event}: {receipt.outcome.name}, {answer.outcome.name}")
            os.write(told, f"d {event} {receipt.seq}\nr {event} {answer.seq}\n".encode())
        event += TASKS


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--database", default="sqlite")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = kill_writers(
        options.data_dir, database=options.database, kills=options.kills, seed=options.seed
    )
    print(
        f"{found.kills} kills, {len(found.decisions):,} decisions and {len(found.rewards):,} "
        f"rewards acknowledged, {found.per_second:,.0f} a second, {len(found.wrong)} wrong"
    )
    for line in found.wrong[:20]:
        print(line)
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
