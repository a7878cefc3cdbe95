"""Simulated users over HTTP: a service decides as the offline run did, to the last bit."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from matinee_platform.analysis.experiment.of_service import analyse_service
from matinee_platform.client.async_client import AsyncClient
from matinee_platform.client.errors import CallError, RefusedError
from matinee_platform.client.retries import Retries
from matinee_platform.clock import SystemClock
from matinee_platform.drive.arm_users import ArmUsers
from matinee_platform.drive.driver import (
    DayDone,
    Driven,
    DriveOptions,
    drive,
    ensure_experiment,
)
from matinee_platform.drive.errors import DriveError
from matinee_platform.drive.moments import moment
from matinee_platform.drive.plan import START_MS, DrivePlan, drive_plan
from matinee_platform.drive.state_file import load_state
from matinee_platform.learning.learner_loop import LearnerLoop
from matinee_platform.learning.replay_service import replay_service
from matinee_platform.learning.service_arms import open_stores
from matinee_platform.offline.first_day import first_day_units
from matinee_platform.offline.results import read_results
from matinee_platform.offline.run import run_experiment
from matinee_platform.offline.sessions import DAY_MS
from matinee_platform.report.drive import drive_json, drive_text
from matinee_platform.service.app import create_app
from matinee_platform.service.log_lines import service_log
from matinee_platform.service.secrets import Secrets
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.serving.deploy import deploy_arm
from matinee_platform.settings import parse_settings
from matinee_policies.errors import ConfigError

ADDRESS = "http://127.0.0.1:8400"
DAYS = 6
T = TypeVar("T")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, small_data: str) -> Path:
    """Three arms: one that does not learn, one with three lessons, one that takes row by row."""
    folder = tmp_path_factory.mktemp("drive") / "run"
    settings = parse_settings(
        {
            "name": "drive",
            "seed": 5,
            "data": small_data,
            "users": 48,
            "days": DAYS,
            "slots": 5,
            "candidates": 30,
            "control": "explored",
            "world": {"arrival_days": 2},
            "reward": {
                "engagement": {"weight": 0.7},
                "rating": {"weight": 0.2, "window_days": 1},
                "return_visit": {"weight": 0.1, "window_days": 2},
            },
            "arms": [
                {
                    "name": "explored",
                    "weight": 0.2,
                    "policy": {"kind": "score_order", "epsilon": 0.2},
                },
                {
                    "name": "lin_ucb",
                    "weight": 0.5,
                    "policy": {"kind": "lin_ucb", "alpha": 0.5, "diversity": 0.05},
                },
                {"name": "logistic", "weight": 0.3, "policy": {"kind": "logistic"}},
            ],
        }
    )
    run_experiment(settings, folder, workers=1)
    return folder


def service_of(run: Path, data: Path, *, database: str = "sqlite") -> ServiceSettings:
    """Settings of a service with the arms of a run as they were before its first day."""
    settings = ServiceSettings.model_validate(
        {
            "data_dir": data,
            "database": database,
            "supervise_learner": False,
            "limits": {"requests_per_second": 1e6, "burst": 1_000_000},
            "experiments": [{"key": "live", "salt": "live", "arms": [LIVE]}],
        }
    )
    keys = Secrets.load(settings).signing
    plan = drive_plan(run)
    past = first_day_units(run, plan.settings)
    for arm in plan.settings.arms:
        deploy_arm(run, arm.name, data_dir=data, past=past, keys=keys)
    deploy_arm(run, "explored", data_dir=data, name="as_it_was", keys=keys)
    return settings


LIVE = {"name": "only", "bundle": "as_it_was"}


@contextmanager
def learning(settings: ServiceSettings) -> Iterator[None]:
    """The learner of a service, in a thread."""
    stop = threading.Event()

    def work() -> None:
        clock = SystemClock()
        with open_stores(settings, clock=clock) as stores:
            loop = LearnerLoop(
                plans=stores.plans,
                make=stores.learner,
                leases=stores.leases,
                report=lambda status: None,
                clock=clock,
                asked=stores.asks.any_open,
            )
            loop.run(stop, every_seconds=0.2)
            loop.release()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def ask(
    settings: ServiceSettings,
    work: Callable[[AsyncClient], Awaitable[T]],
    *,
    through: Callable[[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport] = lambda one: one,
) -> T:
    """Do something with a running service."""

    async def main() -> T:
        app = create_app(settings, clock=SystemClock(), log=service_log(StringIO()))
        async with app.router.lifespan_context(app):
            transport = through(httpx.ASGITransport(app))
            retries = Retries(attempts=1)
            async with AsyncClient(
                ADDRESS, transport=transport, timeout=60.0, retries=retries
            ) as client:
                return await work(client)

    with learning(settings):
        return asyncio.run(main())


def driven(
    plan: DrivePlan, options: DriveOptions, report: Callable[[DayDone], None] = lambda day: None
) -> Callable[[AsyncClient], Awaitable[Driven]]:
    async def work(client: AsyncClient) -> Driven:
        await ensure_experiment(client, plan)
        return await drive(client, plan, options, report=report)

    return work


def options_of(run: Path, folder: Path, **changes: Any) -> DriveOptions:
    arms = read_results(run)["arm_runs"]
    hashes = {name: one["snapshots"] for name, one in arms.items()}
    return DriveOptions(state=folder / "state.npz", batch=7, hashes=hashes, **changes)


def check_equal(run: Path, done: Driven) -> None:
    arms = read_results(run)["arm_runs"]
    decisions = sum(one["pages"] for one in arms.values())
    compared = done.comparison
    assert compared is not None
    assert not done.failed, compared.to_json()
    assert compared.equal == done.tally.pages == decisions > 150
    assert compared.snapshots == DAYS * len(arms)
    assert {arm: version for arm, (version, _) in done.learned.items()} == {
        name: len(one["snapshots"]) - 1 for name, one in arms.items()
    }
    assert done.tally.served_by == {"policy": decisions}


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_service_decides_as_the_run_did(
    database: str, run: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if database == "postgresql":
        database = request.getfixturevalue("new_postgres_database")()
    settings = service_of(run, tmp_path / "data", database=database)
    done = ask(settings, driven(drive_plan(run), options_of(run, tmp_path)))
    check_equal(run, done)
    for replayed in replay_service(settings, ["drive/lin_ucb"]):
        assert replayed.passed
        assert replayed.equal_decisions == replayed.decisions > 50
    # Its time is its users' own: nobody who has lived six days can have come back on the 28th.
    found = analyse_service(tmp_path / "data", database, key="drive", until_ms=2 * START_MS)
    assert found["source"] == {
        "kind": "service",
        "since_ms": START_MS,
        "until_ms": START_MS + DAYS * DAY_MS,
    }


class Failing(httpx.AsyncBaseTransport):
    """A network that is gone after some requests."""

    def __init__(self, inner: httpx.AsyncBaseTransport, requests: int) -> None:
        self._inner, self._left = inner, requests

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._left -= 1
        if self._left < 0:
            raise httpx.ConnectError("gone")
        return await self._inner.handle_async_request(request)


def test_a_drive_goes_on_where_it_was_cut_off(run: Path, tmp_path: Path) -> None:
    settings, plan = service_of(run, tmp_path / "data"), drive_plan(run)
    days: list[int] = []
    with pytest.raises(CallError, match="no answer"):
        ask(
            settings,
            driven(plan, options_of(run, tmp_path), lambda done: days.append(done.day)),
            through=lambda inner: Failing(inner, 120),
        )
    assert 0 < len(days) < DAYS
    first = len(days)
    done = ask(
        settings,
        driven(plan, options_of(run, tmp_path, resume=True), lambda done: days.append(done.day)),
    )
    check_equal(run, done)
    assert days == list(range(DAYS))
    assert days[first:]
    # What was sent of the day that was cut off came twice and counts once.
    assert any(what.endswith("/repeated") for what in done.tally.rewards)
    other = drive_plan(run, key="other")
    arms = [ArmUsers(other, number) for number in range(3)]
    with pytest.raises(ConfigError, match="is of another drive"):
        load_state(tmp_path / "state.npz", other, arms)


def test_only_simulated_users_bring_their_time(run: Path, tmp_path: Path) -> None:
    settings, plan = service_of(run, tmp_path / "data"), drive_plan(run)
    at = moment(START_MS + 3_600_000)

    async def refused(call: Awaitable[Any]) -> str:
        with pytest.raises(RefusedError) as error:
            await call
        return str(error.value)

    async def work(client: AsyncClient) -> None:
        await ensure_experiment(client, plan)
        # The same again is the same.
        await ensure_experiment(client, plan)
        live = {"experiment": "live", "unit": "ada"}
        body = {**live, "decision_id": "a", "at": at.isoformat()}
        answer = await client._http.post("/v1/decisions", json=body)
        assert answer.status_code == 422
        assert "'live' is not marked simulated" in answer.json()["detail"]
        text = await refused(client.decide("drive", "user-1"))
        assert "'drive' is marked simulated" in text
        early = {"experiment": "drive", "unit": "user-1", "at": moment(START_MS - 1).isoformat()}
        answer = await client._http.post("/v1/decisions", json=early)
        assert "must not be before the first day" in answer.json()["detail"]
        decided = await client.decide("live", "ada", decision_id="one")
        for decision, rule in ((decided.decision_id, "'live' is not"), ("none", "not in the log")):
            reward = {"decision_id": decision, "component": "click", "slot": 0}
            answer = await client._http.post("/v1/rewards", json={**reward, "at": at.isoformat()})
            assert answer.status_code == 422
            assert rule in answer.json()["detail"]
        page = {"experiment": "drive", "unit": "user-1", "decision_id": "page"}
        answer = await client._http.post("/v1/decisions", json={**page, "at": at.isoformat()})
        reward = {"decision_id": answer.json()["decision_id"], "component": "click", "slot": 0}
        answer = await client._http.post("/v1/rewards", json=reward)
        assert answer.status_code == 422
        assert "'drive' is marked simulated" in answer.json()["detail"]
        timed = {**reward, "at": at.isoformat()}
        both = {"rewards": [{**reward, "id": "one"}, {**timed, "id": "two"}]}
        answer = await client._http.post("/v1/rewards", json=both)
        assert [one["outcome"] for one in answer.json()["results"]] == ["refused", "stored"]
        assert "'live' is not marked" in await refused(client.learn_until("live", at))
        text = await refused(client.learn_until("drive", moment(START_MS - 1)))
        assert "must not be before the first day" in text
        with pytest.raises(CallError) as missing:
            await client.learn_until("nothing", at)
        assert missing.value.status == 404
        await client.stop_experiment("drive")
        with pytest.raises(CallError) as again:
            await client.start_experiment("drive", salt="another")
        assert "would live their first day twice" in str(again.value)
        with pytest.raises(DriveError, match="was stopped"):
            await ensure_experiment(client, plan)
        with pytest.raises(DriveError, match="another experiment 'live'"):
            await ensure_experiment(client, drive_plan(run, key="live"))

    ask(settings, work)


def test_retention_leaves_simulated_rows(run: Path, tmp_path: Path) -> None:
    settings, plan = service_of(run, tmp_path / "data"), drive_plan(run, users=8, days=1)

    async def work(client: AsyncClient) -> None:
        await ensure_experiment(client, plan)
        options = DriveOptions(state=tmp_path / "state.npz")
        done = await drive(client, plan, options)
        removed = await client.retention(days=30)
        assert (removed.decisions, removed.rewards) == (0, 0)
        assert done.tally.pages > 0
        with open_stores(settings, clock=SystemClock()) as stores:
            rows = stores.reader.decisions(upto=stores.reader.last_seq())
        assert len(rows) == done.tally.pages

    ask(settings, work)


def test_a_past_is_for_its_own_users(run: Path, tmp_path: Path) -> None:
    settings = service_of(run, tmp_path / "data")

    async def work(client: AsyncClient) -> None:
        wanted = drive_plan(run).experiment
        simulated = wanted.simulated
        assert simulated is not None
        others = simulated.model_copy(update={"seed": 6})
        for number, mark in enumerate((None, others)):
            changes = {"key": f"other{number}", "salt": f"s{number}", "simulated": mark}
            experiment = wanted.model_copy(update={**changes, "layer": changes["key"]})
            if mark is None:
                await client.create_experiment(experiment)
                refused: Awaitable[Any] = client.start_experiment(experiment.key)
            else:
                refused = client.create_experiment(experiment)
            with pytest.raises(CallError, match="knows the past of the simulated users of run"):
                await refused

    ask(settings, work)


def test_other_users_need_another_run_with_bundles_of_its_own(
    run: Path, tmp_path: Path, small_data: str
) -> None:
    arms = [{"name": "explored", "policy": {"kind": "score_order"}}]
    values = {"name": "other", "users": 6, "days": 1, "slots": 3, "candidates": 10, "arms": arms}
    other = tmp_path / "other"
    run_experiment(parse_settings({**values, "data": small_data, "seed": 2}), other, workers=1)
    settings = service_of(run, tmp_path / "data")
    first, own = drive_plan(run, users=8, days=1), {"explored": "other_explored"}

    async def lived(client: AsyncClient, plan: DrivePlan) -> str:
        done = await driven(plan, DriveOptions(state=tmp_path / "state.npz"))(client)
        assert not done.failed
        return drive_text(drive_json(plan, done))

    async def work(client: AsyncClient) -> None:
        assert "there before" not in await lived(client, first)
        assert "these users have lived these days already" in await lived(client, first)
        with pytest.raises(DriveError, match="with seed 5 live in experiment 'drive'") as taken:
            await ensure_experiment(client, drive_plan(run, key="again"))
        with pytest.raises(DriveError, match=r"differs in .*, simulated, arms") as differs:
            await ensure_experiment(client, drive_plan(other, key="drive"))
        for told in (str(taken.value), str(differs.value)):
            for word in ("--set name=NEW", "--first-day --as NEW_ARM", "--bundle ARM=NEW_ARM"):
                assert word in told
        # Neither another past nor a missing bundle costs these users their key and their salt.
        for bundles in ({}, own):
            with pytest.raises(CallError, match=r"bundle '?.*explored"):
                await ensure_experiment(client, drive_plan(other, bundles=bundles))
        past, keys = first_day_units(other, drive_plan(other).settings), Secrets.load(settings)
        (name,) = own.values()
        deploy_arm(
            other, "explored", data_dir=settings.data_dir, name=name, past=past, keys=keys.signing
        )
        assert "there before" not in await lived(client, drive_plan(other, bundles=own))

    ask(settings, work)
