"""How analyses of a service are made, waited for, held, and ended with it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from matinee_platform.client.calls import results
from matinee_platform.clock import FakeClock
from matinee_platform.service.analysis_process import AnalysisProcess
from matinee_platform.service.live_analysis import (
    AnalysisError,
    AnalysisPendingError,
    AnalysisRenewal,
    LiveAnalyses,
)
from matinee_platform.service.log_lines import service_log
from matinee_platform.service.testing_parts import Bench

UNTIL = 1_767_225_600_000 + 12 * 86_400_000


class Slow:
    """An analysis that waits until it may go on."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = threading.Event()

    def __call__(self, key: str, until_ms: int) -> dict[str, Any]:
        self.asked.append(key)
        assert self.go.wait(30)
        if key == "broken":
            raise AnalysisError("it is")
        return {"key": key, "number": len(self.asked), "running": key != "stopped"}


def test_who_asks_at_once_shares_one_analysis() -> None:
    slow = Slow()

    async def main() -> None:
        analyses = LiveAnalyses(slow, clock=FakeClock(UNTIL), hold_seconds=1_000.0)
        first = [asyncio.create_task(analyses.analysis("home")) for _ in range(5)]
        # The loop goes on meanwhile.
        await asyncio.sleep(0.01)
        first[0].cancel()
        slow.go.set()
        found = await asyncio.gather(*first[1:])
        assert all(one is found[0] for one in found)
        assert await analyses.analysis("home") is found[0]
        assert slow.asked == ["home"]
        await analyses.close()

    asyncio.run(main())


def test_an_analysis_is_not_held_for_long() -> None:
    slow = Slow()
    slow.go.set()

    async def main() -> None:
        analyses = LiveAnalyses(slow, clock=FakeClock(UNTIL), hold_seconds=0.0)
        assert (await analyses.analysis("home"))["number"] == 1
        until = time.monotonic() + 30
        while (await analyses.analysis("home"))["number"] == 1:
            # It is held for as long as it took.
            assert time.monotonic() < until
            await asyncio.sleep(0.01)
        await analyses.renew(["home", "broken"])
        assert set(analyses.shown) == {"home"}
        await analyses.renew([])
        assert not analyses.shown
        await analyses.close()

    asyncio.run(main())


def test_metrics_show_an_analysis_as_soon_as_somebody_asked_for_it() -> None:
    """The next pass over all experiments may be a long rest away."""
    slow = Slow()
    slow.go.set()

    async def main() -> None:
        analyses = LiveAnalyses(slow, clock=FakeClock(UNTIL), hold_seconds=0.0)
        await analyses.renew(["other"])
        found = await analyses.soon("home")
        assert analyses.shown["home"] is found
        assert set(analyses.shown) == {"home", "other"}
        await analyses.soon("stopped")
        assert set(analyses.shown) == {"home", "other"}
        await analyses.renew(["home"])
        assert set(analyses.shown) == {"home"}
        # One begins while a pass is under way, and is asked for.
        slow.go.clear()
        passing = asyncio.create_task(analyses.renew(["home"]))
        new = asyncio.create_task(analyses.soon("new"))
        await asyncio.sleep(0.01)
        slow.go.set()
        await asyncio.gather(passing, new)
        assert set(analyses.shown) == {"home", "new"}
        await analyses.close()

    asyncio.run(main())


def test_renewal_rests_longer_than_it_works() -> None:
    slow = Slow()
    slow.go.set()

    async def main() -> None:
        analyses = LiveAnalyses(slow, clock=FakeClock(UNTIL), hold_seconds=0.0)
        log = service_log(StringIO())
        passes: list[float] = []

        def keys() -> list[str]:
            passes.append(time.monotonic())
            if len(passes) == 1:
                raise RuntimeError("the database is away")
            time.sleep(0.05)
            return ["home"]

        renewal = AnalysisRenewal(analyses, keys=keys, every_seconds=0.01, log=log)
        renewal.start()
        while len(passes) < 3:
            await asyncio.sleep(0.01)
        assert passes[2] - passes[1] >= 20 * 0.05
        assert analyses.shown["home"]["key"] == "home"
        await renewal.stop()
        await analyses.close()

    asyncio.run(main())


def test_a_caller_is_not_kept_waiting(bench: Bench, serve: Callable[..., Any]) -> None:
    slow = Slow()
    analyses = LiveAnalyses(slow, clock=FakeClock(UNTIL), patience_seconds=0.01)
    client = serve(bench, analysis=analyses.soon)
    for _ in range(2):
        answer = client.get("/v1/experiments/home/results")
        assert (answer.status_code, answer.headers["retry-after"]) == (202, "5")
        told = results("home").read(answer)
        assert (told.statistics, told.retry_after, told.analysis) == ("pending", 5, None)
        assert "is being made" in told.note
        assert told.arms == []
    slow.go.set()
    client.run(analyses.analysis("home"))
    answer = client.get("/v1/experiments/home/results")
    assert answer.status_code == 200
    assert answer.json()["analysis"] == {"key": "home", "number": 1, "running": True}
    document = client.get("/v1/openapi.json").json()
    responses = document["paths"]["/v1/experiments/{key}/results"]["get"]["responses"]
    schemas = [responses[one]["content"]["application/json"]["schema"] for one in ("200", "202")]
    assert schemas == [{"$ref": "#/components/schemas/ResultsAnswer"}] * 2
    assert "Retry-After" in responses["202"]["headers"]
    client.run(analyses.close())


def test_an_analysis_of_a_former_start_is_not_shown(
    bench: Bench, serve: Callable[..., Any]
) -> None:
    since = 0

    async def analysis(_: str) -> dict[str, Any]:
        return {"source": {"since_ms": since}}

    client = serve(bench, analysis=analysis)
    answer = client.get("/v1/experiments/home/results")
    assert (answer.status_code, answer.headers["retry-after"]) == (202, "5")
    told = results("home").read(answer)
    assert (told.statistics, told.analysis) == ("pending", None)
    assert "since the last start" in told.note
    since = told.since or 0
    answer = client.get("/v1/experiments/home/results")
    assert (answer.status_code, answer.json()["statistics"]) == (200, "analysis")


def test_failures_are_held_too() -> None:
    """A refused log is not read in full for each caller."""
    asked: list[str] = []

    def refuse(key: str, until_ms: int) -> dict[str, Any]:
        asked.append(key)
        raise (AnalysisError if key == "broken" else RuntimeError)("it is")

    async def main() -> None:
        analyses = LiveAnalyses(refuse, clock=FakeClock(UNTIL), hold_seconds=1_000.0)
        for key, kind in (("broken", AnalysisError), ("odd", RuntimeError)):
            for ask in (analyses.analysis, analyses.soon, analyses.soon):
                with pytest.raises(kind, match="it is"):
                    await ask(key)
        assert asked == ["broken", "odd"]
        await analyses.close()

    asyncio.run(main())


def test_what_took_long_is_held_as_long() -> None:
    def analyse(key: str, until_ms: int) -> dict[str, Any]:
        time.sleep(0.5)
        return {"running": True}

    async def main() -> None:
        analyses = LiveAnalyses(analyse, clock=FakeClock(UNTIL), hold_seconds=0.0)
        first = await analyses.analysis("home")
        assert await analyses.analysis("home") is first
        await analyses.close()

    asyncio.run(main())


def test_nobody_need_wait_for_one_that_fails() -> None:
    slow = Slow()

    async def main() -> None:
        analyses = LiveAnalyses(slow, clock=FakeClock(UNTIL), patience_seconds=0.01)
        with pytest.raises(AnalysisPendingError):
            await analyses.soon("broken")
        slow.go.set()
        with pytest.raises(AnalysisError, match="it is"):
            await analyses.analysis("broken")
        await analyses.close()

    asyncio.run(main())


def child(code: str, lines: StringIO, **options: Any) -> AnalysisProcess:
    """Analyses by a child that runs some code."""
    return AnalysisProcess(
        Path("nowhere"),
        "sqlite",
        log=service_log(lines),
        command=(sys.executable, "-c", code),
        **options,
    )


def test_what_a_child_says_of_its_end_is_in_the_lines() -> None:
    lines = StringIO()
    ends = "import sys; sys.stdin.readline(); raise SystemExit('no memory')"
    with pytest.raises(AnalysisError, match="ended with status 1"):
        child(ends, lines).analyse("home", UNTIL)
    (line,) = [json.loads(one) for one in lines.getvalue().splitlines()]
    assert line["event"] == "analysis_child_failed"
    assert (line["experiment"], line["status"], line["said"]) == ("home", 1, "no memory\n")
    with pytest.raises(AnalysisError, match=r"longer than 0\.2 s"):
        child("import time; time.sleep(60)", lines, longest_seconds=0.2).analyse("home", UNTIL)
    with pytest.raises(AnalysisError, match="JSONDecodeError"):
        child("print('nonsense')", lines).analyse("home", UNTIL)


CHILD = """
import os, sys, time
from matinee_platform.analysis.experiment import of_service
from matinee_platform.service import analysis_process

def analyse(*arguments, **options):
    with open(sys.argv[1], "w") as file:
        print(os.getpid(), file=file)
    time.sleep(600)

of_service.analyse_service = analyse
analysis_process.main()
"""
PARENT = f"""
import sys
from io import StringIO
from pathlib import Path
from matinee_platform.service.analysis_process import AnalysisProcess
from matinee_platform.service.log_lines import service_log
AnalysisProcess(
    Path("nowhere"), "sqlite", log=service_log(StringIO()),
    command=(sys.executable, "-c", {CHILD!r}, sys.argv[1]),
).analyse("home", 0)
"""


def test_a_child_does_not_outlive_a_service_that_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "child"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(note)], stdin=subprocess.DEVNULL)
    until = time.monotonic() + 60
    try:
        while not (note.exists() and note.read_text(encoding="utf-8").endswith("\n")):
            assert time.monotonic() < until
            time.sleep(0.05)
        number = int(note.read_text(encoding="utf-8"))
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        while _lives(number):
            assert time.monotonic() < until, "the child is still there"
            time.sleep(0.05)
    finally:
        parent.kill()
        parent.wait()


NICE_AT_ITS_IMPORTS = """
import os, sys

class Watch:
    def find_spec(self, name, *_):
        if name.startswith("matinee_platform.analysis"):
            sys.exit(f"nice {os.nice(0)}")

from matinee_platform.service import analysis_process
sys.meta_path.insert(0, Watch())
analysis_process.main()
"""


def test_a_child_gives_way_before_it_reads_what_it_analyses_with() -> None:
    found = subprocess.run(
        [sys.executable, "-c", NICE_AT_ITS_IMPORTS],
        input=b"{}\n",
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert found.stderr.decode().strip() == f"nice {min(os.nice(0) + 10, 19)}"


def _lives(number: int) -> bool:
    """Whether a process runs; one that nobody waited for has ended."""
    try:
        state = Path(f"/proc/{number}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"
