"""What `matinee drive` refuses or tells before users come."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from live_service import free_port
from matinee_platform.cli import app
from matinee_platform.client.async_client import AsyncClient
from matinee_platform.commands import drive as command
from matinee_platform.drive import driver
from matinee_platform.drive.pace import Pace
from matinee_platform.offline.run import run_experiment
from matinee_platform.settings import parse_settings


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, small_data: str) -> Path:
    folder = tmp_path_factory.mktemp("mistakes") / "run"
    arms = [{"name": "plain", "policy": {"kind": "score_order"}}]
    values = {"name": "mistakes", "users": 6, "days": 1, "slots": 3, "candidates": 10, "arms": arms}
    settings = parse_settings({**values, "data": small_data, "world": {"arrival_days": 1}})
    run_experiment(settings, folder, workers=1)
    return folder


def said(run: Path, *words: str, url: str = "http://127.0.0.1:9") -> str:
    found = CliRunner().invoke(app, ["drive", str(run), "--url", url, *words])
    assert found.exit_code != 0
    return found.output + str(found.exception)


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["--rate", "0"], "--rate must be > 0, got 0"),
        (["--speed", "-1"], "--speed must be > 0, got -1"),
        (["--resume"], "without --resume it begins anew"),
    ],
)
def test_no_experiment_is_begun_for_options_that_are_refused(
    words: list[str], rule: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An experiment of simulated users starts once, and has taken its salt for ever."""

    async def begun(*_: Any) -> None:
        raise AssertionError("an experiment was begun")

    monkeypatch.setattr(driver, "ensure_experiment", begun)
    assert rule in said(run, *words)


def test_who_gives_no_answer_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = f"127.0.0.1:{free_port()}"
    monkeypatch.setattr(command, "_TOLD_AFTER", 0.0)
    told = said(run, "--patience", "0.2", url=f"http://me:hidden@{place}")
    assert f"waiting for http://{place}, 0.2 s at most" in told
    assert f"http://{place}: the service gave no answer" in told
    assert "hidden" not in told
    assert "must begin with http:// or https://" in said(run, url=place)


@pytest.mark.parametrize(
    ("whole", "how"), [(False, "begins its first day again"), (True, "with --resume goes on")]
)
def test_an_interrupted_drive_tells_how_to_go_on(
    *, whole: bool, how: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(self: AsyncClient) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(AsyncClient, "experiments", interrupted)
    state = tmp_path / "state.npz"
    if whole:
        state.write_bytes(b"")
    assert f"interrupted; the same command {how}" in said(run, "--state", str(state))


def test_a_rest_between_two_days_is_not_made_up_for() -> None:
    """Pages of a day are due from its beginning, at the rate that was asked for."""
    now = [100.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    pace = Pace(rate=10.0, speed=0.1, now=lambda: now[0], sleep=sleep)

    async def live() -> list[float]:
        begun = []
        for day in range(2):
            await pace.day(day)
            for _ in range(3):
                await pace.pages(10)
                begun.append(now[0])
        return begun

    assert asyncio.run(live()) == [100.0, 101.0, 102.0, 110.0, 111.0, 112.0]
    assert pace.behind == 0.0
    now[0] += 50.0
    pace.begin()
    asyncio.run(pace.day(0))
    assert pace.behind == 0.0
