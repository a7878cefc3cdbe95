"""Several workers: how they are watched over, and that one learner and one process serve them."""

import http.client
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner

from live_service import LiveService, children_of
from matinee_platform.cli import app
from matinee_platform.kpis.kpi_status import STATUS_FILE as KPI_FILE
from matinee_platform.kpis.kpi_status import KpiStatus
from matinee_platform.kpis.kpi_status import read_status as read_kpi_status
from matinee_platform.learning.learner_status import STATUS_FILE, read_status
from matinee_platform.service import process
from matinee_platform.service.settings import ServiceSettings

JSON = {"content-type": "application/json"}


def test_a_worker_that_is_slow_to_start_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[uvicorn.Config] = []

    class Watched:
        def __init__(self, config: uvicorn.Config, _: Sequence[object], *, leaving: object) -> None:
            seen.append(config)

        def run(self) -> None:
            pass

    monkeypatch.setattr(process, "_Workers", Watched)
    monkeypatch.setattr(process, "prepare", lambda _: False)
    settings = ServiceSettings(
        data_dir=tmp_path,
        port=0,
        workers=2,
        database="postgresql://nobody@localhost/none",
        supervise_learner=False,
        experiments=[],
    )
    told: list[process.Listening] = []
    assert process.serve(settings, announce=told.append) == 0
    assert [one.workers for one in told] == [2]
    # A start takes some seconds alone, and several times that on a busy machine.
    assert [one.timeout_worker_healthcheck for one in seen] == [120]


class Guest:
    """One connection to a service, and the process that answers on it."""

    def __init__(self, service: LiveService) -> None:
        self._service = service
        self._line = http.client.HTTPConnection("127.0.0.1", service.port, timeout=120)
        self._line.connect()

    def post(self, path: str, body: Any) -> Any:
        self._line.request("POST", path, json.dumps(body), JSON)
        answer = self._line.getresponse()
        told = json.loads(answer.read())
        assert answer.status == 200, told
        return told

    def worker(self, workers: Sequence[int]) -> int:
        """Which process holds the other end of the connection."""
        ends = [f"0100007F:{port:04X}" for port in (self._service.port, self._port())]
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        (inode,) = [row[9] for row in rows if row[1:3] == ends]
        (found,) = [one for one in workers if f"socket:[{inode}]" in open_files(one)]
        return found

    def close(self) -> None:
        self._line.close()

    def _port(self) -> int:
        return int(self._line.sock.getsockname()[1])


def open_files(process: int) -> set[str]:
    found = set()
    for path in Path(f"/proc/{process}/fd").iterdir():
        try:
            found.add(str(path.readlink()))
        except FileNotFoundError:
            continue
    return found


def visit(service: LiveService, number: int, workers: Sequence[int]) -> tuple[int, int]:
    """One page with a click, on a connection of its own: who answered, from which snapshot."""
    guest = Guest(service)
    try:
        told = guest.post(
            "/v1/decisions",
            {
                "experiment": "shop",
                "unit": f"unit {number}",
                "decision_id": f"page {number}",
                "candidates": ["a", "b", "c"],
                "features": [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]],
            },
        )
        guest.post(
            "/v1/rewards",
            {
                "id": f"click {number}",
                "decision_id": f"page {number}",
                "component": "click",
                "slot": 0,
            },
        )
        return guest.worker(workers), int(told["snapshot"])
    finally:
        guest.close()


@pytest.mark.timeout(900)
def test_two_workers_are_served_by_one_learner_and_one_process_of_key_figures(
    tmp_path: Path, new_postgres_database: Callable[[], str]
) -> None:
    experiment = {
        "key": "shop",
        "salt": "shop-1",
        "slots": 2,
        "engagement_minutes": 0.02,
        "arms": [{"name": "only", "bundle": "shop"}],
    }
    settings = {
        "database": new_postgres_database(),
        "workers": 2,
        "learn_every_seconds": 0.2,
        "kpi_every_seconds": 0.2,
        "experiments": [experiment],
    }
    with LiveService(tmp_path, settings) as service:
        words = ["deploy", "--policy", "epsilon_greedy", "--features", "2", "--slots", "2"]
        done = CliRunner().invoke(app, [*words, "--as", "shop", "--to", str(service.data)])
        assert done.exit_code == 0, done.output
        service.start()
        end, pages = time.monotonic() + 600.0, 0
        newest: dict[int, int] = {}
        workers: list[int] = []
        while len(newest) < 2 or min(newest.values()) < 2:
            assert time.monotonic() < end, f"workers {workers} serve {newest}"
            workers = children_of(service, "--multiprocessing-fork")
            worker, snapshot = visit(service, pages, workers)
            assert snapshot >= newest.get(worker, 0), "a worker does not go back"
            newest[worker] = snapshot
            pages += 1
        assert sorted(newest) == sorted(workers)

        (learner,) = children_of(service, "--supervised")
        status = read_status(service.data / STATUS_FILE)
        assert status is not None
        (arm,) = status.arms
        assert (status.process, arm.state, arm.reason) == (learner, "learning", "")
        assert arm.version >= min(newest.values())
        assert 0 < arm.events["click"]["joined"] <= pages
        assert [arm.events["click"][word] for word in ("duplicate", "orphan")] == [0, 0]

        (counter,) = children_of(service, "matinee_platform.kpis.kpi_process")
        told = figures(service)
        while told is None or told.experiments[0].arms["only"].pages < pages:
            assert time.monotonic() < end, told
            time.sleep(0.05)
            told = figures(service)
        assert (told.process, told.holds) == (counter, True)
        (shop,) = told.experiments
        assert (shop.key, shop.reason) == ("shop", "")
        assert shop.arms["only"].pages == shop.arms["only"].exposed == pages

        children = [*workers, learner, counter]
        assert service.stop(wait_s=120.0) == 0
        assert [one for one in children if Path(f"/proc/{one}").exists()] == []
        assert "Traceback" not in service.log.read_text(encoding="utf-8")


def figures(service: LiveService) -> KpiStatus | None:
    """What the process of the key figures told last, once it knows the experiment's arm."""
    told = read_kpi_status(service.data / KPI_FILE)
    known = told is not None and len(told.experiments) == 1 and "only" in told.experiments[0].arms
    return told if known else None
