"""The frame of every benchmark: ours, a peer and a limit, measured by turns in one run.

A program names its work and its bars; the frame measures, compares and prints:

    def measure(effort: Effort) -> list[Row]:
        return [
            compare(
                "epsilon-greedy",
                size=size,
                unit="rounds/s",
                ours=Work(lambda: play(1_000), units=1_000),
                peer=Peer("obp", "obp_linear", "obp", {"d": size.d, "K": size.K}),
                limit=Limit("read the K d^2 matrix once", reading(8 * size.K * size.d**2)),
                bars=Bars(peer=50.0, peer_goal=300.0),
                effort=effort,
            )
            for size in effort.sizes
        ]

    if __name__ == "__main__":
        main(__doc__, measure)

All rates are per CPU second of one thread, the best of several turns on every side.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from peer_process import Peer, PeerFigure, PeerProcess
from peers.stopwatch import rate

__all__ = [
    "FULL",
    "QUICK",
    "TINY",
    "Bars",
    "Effort",
    "Limit",
    "LimitFigure",
    "Peer",
    "PeerFigure",
    "Row",
    "Size",
    "Work",
    "best_of",
    "compare",
    "least_seconds",
    "main",
    "median_seconds",
]


@dataclass(frozen=True, slots=True)
class Size:
    """`d` features (or the dimension of the block that counts) and `K` candidates."""

    d: int
    K: int

    def __str__(self) -> str:
        return f"(d, K) = ({self.d}, {self.K})"


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure.

    Attributes:
        seconds: CPU seconds of one turn, at least.
        repeats: turns on each side, the best of which counts.
        sizes: of the rows that come in several.
        tiny: whether only the form of the output matters; programs shrink all they can.
    """

    seconds: float
    repeats: int
    sizes: tuple[Size, ...] = (Size(16, 20), Size(64, 100), Size(128, 500))
    tiny: bool = False


FULL = Effort(seconds=1.0, repeats=5)
QUICK = Effort(seconds=0.2, repeats=3)
TINY = Effort(seconds=0.0, repeats=1, sizes=(Size(3, 4),), tiny=True)


@dataclass(frozen=True, slots=True)
class Work:
    """A call that does some units of work; 1 to 100 ms a call measure well.

    Attributes:
        run: the call; state that it changes must not make later calls cheaper or dearer.
        units: rounds, contexts, slates or blocks that one call does.
    """

    run: Callable[[], object]
    units: float

    def rate(self, seconds: float) -> float:
        """Units per CPU second, measured for so long after one call that does not count."""
        return rate(self.run, units=self.units, seconds=seconds)


@dataclass(frozen=True, slots=True)
class Limit:
    """What nothing of this kind can pass on this machine.

    Attributes:
        definition: in words, for the table.
        work: see `limits.py`; its units times `scale` are units of the row.
        scale: units of the row that one unit of the work stands for.
    """

    definition: str
    work: Work
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class LimitFigure:
    """A measured limit, in the unit of the row."""

    definition: str
    rate: float


@dataclass(frozen=True, slots=True)
class Bars:
    """What a row must reach.

    Attributes:
        peer: times the peer's rate; `None` where there is no such bar.
        limit: share of the limit.
        peer_goal: what would be better still, as `peer`.
        limit_goal: as `limit`.
        at_most: largest figure allowed, for rows that tell a time instead of a rate.
    """

    peer: float | None = None
    limit: float | None = None
    peer_goal: float | None = None
    limit_goal: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        name: what is measured.
        size: at which size.
        unit: of all figures; rates, unless `bars.at_most` is set or the unit is a time.
        ours: our figure.
        peer: the peer's, if the row has one.
        limit: the limit's, if the row has one.
        bars: what to reach.
        note: anything a reader must know, one sentence.
    """

    name: str
    size: str
    unit: str
    ours: float
    peer: PeerFigure | None = None
    limit: LimitFigure | None = None
    bars: Bars = Bars()
    note: str = ""

    @property
    def over_peer(self) -> float | None:
        """Ours over the peer's rate; `None` without a figure."""
        if self.peer is None or not self.peer.rate:
            return None
        return self.ours / self.peer.rate

    @property
    def of_limit(self) -> float | None:
        """Share of the limit; `None` without one."""
        return self.ours / self.limit.rate if self.limit is not None else None

    @property
    def met(self) -> bool | None:
        """Whether every bar that can be judged is reached; `None` if none can be."""
        bars = self.bars
        verdicts = []
        if bars.peer is not None and self.over_peer is not None:
            verdicts.append(self.over_peer >= bars.peer)
        if bars.limit is not None and self.of_limit is not None:
            verdicts.append(self.of_limit >= bars.limit)
        if bars.at_most is not None:
            verdicts.append(self.ours <= bars.at_most)
        return all(verdicts) if verdicts else None

    def as_json(self) -> dict[str, Any]:
        """All fields, and the ratios."""
        ratios = {"over_peer": self.over_peer, "of_limit": self.of_limit, "met": self.met}
        return asdict(self) | ratios

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Row":
        """The inverse of `as_json`."""
        peer, limit = fields["peer"], fields["limit"]
        return cls(
            name=fields["name"],
            size=fields["size"],
            unit=fields["unit"],
            ours=fields["ours"],
            peer=PeerFigure(**peer) if peer is not None else None,
            limit=LimitFigure(**limit) if limit is not None else None,
            bars=Bars(**fields["bars"]),
            note=fields["note"],
        )


def compare(
    name: str,
    *,
    size: object,
    unit: str,
    ours: Work,
    peer: Peer | PeerFigure | None = None,
    limit: Limit | None = None,
    bars: Bars = Bars(),
    effort: Effort,
    note: str = "",
) -> Row:
    """Measure ours, the peer and the limit by turns, and take the best turn of each.

    A peer's figure, taken from the row before it say, is not measured again.
    """
    our_best, limit_best = 0.0, 0.0
    known = peer if isinstance(peer, PeerFigure) else None
    with PeerProcess(peer) if isinstance(peer, Peer) else nullcontext() as process:
        for _ in range(effort.repeats):
            our_best = max(our_best, ours.rate(effort.seconds))
            if process is not None:
                process.measure(effort.seconds)
            if limit is not None:
                limit_best = max(limit_best, limit.work.rate(effort.seconds / 2.0) * limit.scale)
    return Row(
        name=name,
        size=str(size),
        unit=unit,
        ours=our_best,
        peer=process.best if process is not None else known,
        limit=LimitFigure(limit.definition, limit_best) if limit is not None else None,
        bars=bars,
        note=note,
    )


def best_of(work: Work, effort: Effort) -> float:
    """The best rate of several turns."""
    return max(work.rate(effort.seconds) for _ in range(effort.repeats))


def least_seconds(run: Callable[[], object], *, calls: int) -> float:
    """Least CPU time of one call, after one call that does not count."""
    run()
    least = float("inf")
    for _ in range(calls):
        start = time.process_time()
        run()
        least = min(least, time.process_time() - start)
    return least


def median_seconds(run: Callable[[], object], *, calls: int) -> float:
    """Median wall-clock time of one call, after two calls that do not count."""
    run()
    run()
    times = np.empty(calls)
    for call in range(calls):
        start = time.perf_counter()
        run()
        times[call] = time.perf_counter() - start
    return float(np.median(times))


def main(
    about: str | None,
    measure: Callable[[Effort], Sequence[Row]],
    *,
    argv: Sequence[str] | None = None,
) -> None:
    """Read the options, measure on one thread and print the rows.

    Args:
        about: the program's docstring.
        measure: gives the rows.
        argv: options instead of the command line's.
    """
    parser = argparse.ArgumentParser(description=(about or "").split("\n", maxsplit=1)[0])
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="shorter turns, for a first look")
    length.add_argument("--tiny", action="store_true", help="smallest sizes; figures mean nothing")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    effort = TINY if arguments.tiny else QUICK if arguments.quick else FULL
    with threadpool_limits(1):
        rows = measure(effort)
    print_rows(rows, as_json=arguments.json)


def print_rows(rows: Sequence[Row], *, as_json: bool, **more: Any) -> None:
    """Print rows for people or, with anything `more` to tell, as JSON."""
    if as_json:
        program = Path(sys.argv[0]).name
        print(json.dumps({"program": program, "rows": [row.as_json() for row in rows]} | more))
        return
    for row in rows:
        print("\n".join(_lines(row)))


def _lines(row: Row) -> list[str]:
    verdict = {True: "met", False: "NOT met", None: ""}[row.met]
    lines = [f"{row.name}, {row.size}", f"  {'ours':<7}{row.ours:>14,.6g} {row.unit}   {verdict}"]
    if row.bars.at_most is not None:
        lines.append(f"  {'bar':<7}{row.bars.at_most:>14,.6g} {row.unit} at most")
    if row.peer is not None and row.peer.missing:
        lines.append(f"  {'peer':<7}{'':>14} {row.peer.name}: {row.peer.missing}")
    elif row.peer is not None and row.over_peer is not None:
        lines.append(
            f"  {'peer':<7}{row.peer.rate:>14,.6g} {row.unit}   {row.over_peer:.3g}x"
            f"{_asked(row.bars.peer, 'x')}   {row.peer.name} {row.peer.version}"
        )
    if row.limit is not None and row.of_limit is not None:
        lines.append(
            f"  {'limit':<7}{row.limit.rate:>14,.6g} {row.unit}   {row.of_limit:.2f}"
            f"{_asked(row.bars.limit, '')}   {row.limit.definition}"
        )
    if row.note:
        lines.append(f"  {row.note}")
    return lines


def _asked(bar: float | None, sign: str) -> str:
    return f" (bar {bar:g}{sign})" if bar is not None else ""
