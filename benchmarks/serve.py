"""The live decision route against a bare FastAPI route with the same request and answer, by turns.

Ours is a real `matinee serve` with a deployed LinUCB + MMR arm: 10 slots of 100 candidates that the
caller names, or that the arm's own source finds; every decision durable before it is answered,
metrics and learner on. The bare route parses the same body, shows the first candidates and logs
nothing. Both run on uvicorn with uvloop and httptools; the load has a process of its own.

Beside them is the floor: the bare route that stores a row of our size before it answers, in our
tables on the same database, and does nothing else. What it does not reach, no durable answer does.

Capacity is the most that comes back in a closed loop over 32 or over 128 connections, for ours and
for bare alike: a group commit gains from many callers, and both say what they can do. Latency is
measured in an open loop, at 200 requests/s and at 0.55 of our capacity; each turn of it begins when
the learners and key figures of all services are done with what came before. Requests per CPU second
of the answering processes are told besides: on a machine with other work they are the steadier
figure.

    python benchmarks/serve.py [--run RUN] [--quick] [--tiny] [--json] [--sqlite]
"""

import argparse
import importlib.metadata
import json
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from chaos.served_arm import tiny_run
from harness import Bars, PeerFigure, Row, print_rows
from load_turn import Answered, Turn
from served_arms import FLOOR, Served, all_of, item_ids, wait_until_idle

PROGRAMS = Path(__file__).resolve().parent
DEMO = PROGRAMS.parent / "runs" / "demo"
BARS = Bars(peer=0.5, peer_goal=0.7)
P99_AT_MOST = 1.5
CONNECTIONS = (32, 128)
LIGHT = 200.0
"""Requests per second at which nobody waits for another."""
OFFERED = 0.55
"""Share of our capacity at which latency is measured too."""
NEW_UNITS = 10_000_000


@dataclass(frozen=True, slots=True)
class Length:
    """How much is measured.

    Attributes:
        seconds: of a turn.
        turns: of each case; medians over them count.
        units: that ask.
        databases: whether PostgreSQL is measured too.
    """

    seconds: float
    turns: int
    units: int = 5_000
    databases: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    """One way to ask a service.

    Attributes:
        name: for people.
        served: the service.
        asks: what is asked, but for the numbers of units.
        new_units: whether no unit asks twice.
    """

    name: str
    served: Served
    asks: Turn
    new_units: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """One turn: what came back, and CPU of the service and its database's server per answer.

    In microseconds.
    """

    came: Answered
    cpu_us: float
    database_us: float


@dataclass(frozen=True, slots=True)
class Capacity:
    """The most that one case gave.

    Attributes:
        connections: at which it gave it.
        turns: of these connections.
        rates: medians of answers per second, by connections.
    """

    connections: int
    turns: list[Measured]
    rates: dict[int, float]

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.rates[self.connections]


def _capacity(tried: Mapping[int, list[Measured]]) -> Capacity:
    rates = {connections: _middle(turns, "rate") for connections, turns in tried.items()}
    best = max(rates, key=lambda connections: rates[connections])
    return Capacity(best, tried[best], rates)


def measured(
    case: Case, *, seconds: float, connections: int = 32, rate: float = 0.0, number: int = 0
) -> Measured:
    """One turn.

    Raises:
        RuntimeError: an answer was not good.
    """
    changes = {"seconds": seconds, "rate": rate, "seed": number + 1}
    changes["connections"] = 256 if rate else connections
    if case.new_units:
        changes |= {"units": NEW_UNITS, "first_unit": NEW_UNITS + number * NEW_UNITS // 20}
    turn = asdict(case.asks) | changes
    before, database_before = case.served.cpu_seconds(), case.served.database_seconds()
    done = subprocess.run(
        [sys.executable, "-c", "import load_turn as it; it.main()", json.dumps(turn)],
        cwd=PROGRAMS,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    used = case.served.cpu_seconds() - before
    database = case.served.database_seconds() - database_before
    came = Answered(**json.loads(done.stdout))
    if came.others:
        raise RuntimeError(f"{case.name}: {came.others} answers without status 200")
    each = 1e6 / max(came.good, 1)
    return Measured(came, used * each, database * each)


def cases_of(servers: Mapping[str, Served], *, items: Path, length: Length) -> list[Case]:
    """What is measured, the bare endpoint first."""
    found = []
    for name, served in servers.items():
        asks = Turn(port=served.port, seconds=0.0, units=length.units, items=str(items))
        found.append(Case(f"{name}, named", served, asks))
        if name == "sqlite":
            own = Turn(port=served.port, seconds=0.0, units=length.units)
            found.append(Case(f"{name}, own source", served, own))
            found.append(Case(f"{name}, named, new units", served, asks, new_units=True))
    return found


def measure(run: Path, folder: Path, length: Length) -> list[Row]:
    """All rows."""
    with ExitStack() as stack:
        servers = all_of(stack, run=run, folder=folder, databases=length.databases)
        cases = cases_of(servers, items=item_ids(folder / "sqlite"), length=length)
        for case in cases:
            measured(case, seconds=max(length.seconds, 0.2))
        tried: dict[int, dict[str, list[Measured]]] = {}
        for place, connections in enumerate(CONNECTIONS):
            tried[connections] = {case.name: [] for case in cases}
            for turn in range(length.turns):
                # After the first turns above: units that have asked before are not new.
                number = 1 + place * length.turns + turn
                for case in cases:
                    one = measured(
                        case, seconds=length.seconds, connections=connections, number=number
                    )
                    tried[connections][case.name].append(one)
        closed = {case.name: _capacity({c: tried[c][case.name] for c in tried}) for case in cases}
        rates = (LIGHT, max(OFFERED * closed["sqlite, named"].rate, 1.0))
        still = [case for case in cases if not case.new_units]
        latencies = []
        for rate in rates:
            latencies += _latencies(_opened(still, rate, length, servers.values()), rate)
    return [*_capacities(closed), *latencies]


def _opened(
    cases: Sequence[Case], rate: float, length: Length, servers: Collection[Served]
) -> dict[str, list[Measured]]:
    """Turns of an open loop."""
    opened: dict[str, list[Measured]] = {case.name: [] for case in cases}
    for number in range(length.turns):
        for case in cases:
            wait_until_idle(servers)
            one = measured(case, seconds=max(length.seconds, 0.5), rate=rate, number=100 + number)
            opened[case.name].append(one)
    return opened


def _capacities(closed: Mapping[str, Capacity]) -> list[Row]:
    version = importlib.metadata.version("fastapi")
    bare = closed["bare, named"]
    base = bare.turns
    rows = []
    for name, found in closed.items():
        if found is bare:
            continue
        ours = found.turns
        rates = "; ".join(
            f"{connections} connections: {rate:,.0f} and {bare.rates[connections]:,.0f} requests/s"
            for connections, rate in found.rates.items()
        )
        note = (
            f"{rates}; the load's own CPU {_middle(ours, 'load'):.0f} and "
            f"{_middle(base, 'load'):.0f} us an answer; p99 in the closed loop "
            f"{_middle(ours, 'p99'):.1f} and {_middle(base, 'p99'):.1f} ms."
        )
        cpu = f"{_middle(ours, 'cpu'):.0f} us against {_middle(base, 'cpu'):.0f} us."
        if _middle(ours, "database"):
            cpu += f" The server of the database {_middle(ours, 'database'):.0f} us."
        floor = closed.get(_floor_of(name))
        if floor is not None:
            note += f" {found.rate / floor.rate:.2f} of the floor."
            cpu += f" {_middle(floor.turns, 'cpu') / _middle(ours, 'cpu'):.2f} of the floor."
        # The floor has no bar: it says what the bars of ours mean.
        bars = BARS if floor is not None else Bars()
        rows.append(
            Row(
                name,
                f"{found.connections} connections, K = 100, 10 slots",
                "requests/s",
                found.rate,
                peer=PeerFigure("bare FastAPI", version, bare.rate),
                bars=bars,
                note=note,
            )
        )
        rows.append(
            Row(
                name,
                "by CPU of the answering processes",
                "requests/CPU-s",
                1e6 / max(_middle(ours, "cpu"), 1e-9),
                peer=PeerFigure("bare FastAPI", version, 1e6 / max(_middle(base, "cpu"), 1e-9)),
                bars=bars,
                note=cpu,
            )
        )
    return rows


def _latencies(opened: Mapping[str, list[Measured]], rate: float) -> list[Row]:
    base = opened["bare, named"]
    rows = []
    for name, ours in opened.items():
        if ours is base:
            continue
        note = (
            f"p50 {_middle(ours, 'p50'):.2f} ms, p99 {_middle(ours, 'p99'):.2f} ms; bare "
            f"{_middle(base, 'p50'):.2f} and {_middle(base, 'p99'):.2f} ms"
        )
        floor = opened.get(_floor_of(name))
        if floor is not None:
            note += (
                f"; floor {_middle(floor, 'p50'):.2f} and {_middle(floor, 'p99'):.2f} ms, "
                f"p99 {_middle(ours, 'p99') / _middle(floor, 'p99'):.2f} of it"
            )
        rows.append(
            Row(
                name,
                f"open loop, {rate:.0f} requests/s",
                "p99 / bare p99",
                _middle(ours, "p99") / _middle(base, "p99"),
                bars=Bars() if floor is None else Bars(at_most=P99_AT_MOST),
                note=f"{note}.",
            )
        )
    return rows


def _floor_of(case: str) -> str:
    """The floor of a case of ours; no case's name for the floors themselves."""
    kind = case.split(",")[0].split(" ")[0]
    return f"{FLOOR}{kind}, named"


def _middle(turns: list[Measured], what: str) -> float:
    own = {"cpu": "cpu_us", "database": "database_us"}
    came = {"rate": "rate", "p50": "p50_ms", "p99": "p99_ms", "load": "cpu_us"}
    if what in own:
        return statistics.median(float(getattr(one, own[what])) for one in turns)
    return statistics.median(float(getattr(one.came, came[what])) for one in turns)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--quick", action="store_true", help="shorter turns, for a first look")
    form.add_argument("--tiny", action="store_true", help="smallest sizes; figures mean nothing")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--sqlite", action="store_true", help="leave PostgreSQL out")
    parser.add_argument(
        "--run", type=Path, help="finished run whose lin_ucb is deployed; else runs/demo, or a tiny"
    )
    options = parser.parse_args()
    # Who is told to end ends the services too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    length = Length(5.0, 5, databases=not options.sqlite)
    if options.quick:
        length = Length(2.0, 2, databases=not options.sqlite)
    if options.tiny:
        length = Length(0.1, 1, units=20, databases=False)
    with tempfile.TemporaryDirectory(prefix="matinee-serve-") as made:
        folder = Path(made)
        run = options.run or (DEMO if (DEMO / "results.json").exists() else None)
        if run is None:
            run = tiny_run(folder)
        print_rows(measure(run, folder, length), as_json=options.json)


if __name__ == "__main__":
    main()
