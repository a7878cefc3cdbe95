"""A drive that goes on: what failed before is told and fails no later call."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx

from matinee_platform.client.async_client import AsyncClient
from matinee_platform.drive.arm_users import ArmUsers
from matinee_platform.drive.compare import Comparison
from matinee_platform.drive.driver import Driven, DriveOptions, drive
from matinee_platform.drive.plan import drive_plan
from matinee_platform.drive.state_file import save_state
from matinee_platform.drive.tally import Tally
from matinee_platform.offline.run import run_experiment
from matinee_platform.settings import parse_settings


def learned(request: httpx.Request) -> httpx.Response:
    """A service whose arm has learned all that was asked."""
    assert request.url.path.endswith(":learn-until")
    arm = {"arm": "soft", "reached": True, "version": 2, "snapshot_hash": "0" * 32}
    return httpx.Response(200, json={"experiment": "small", "reached": True, "arms": [arm]})


def test_a_call_fails_for_what_failed_in_it(tmp_path: Path, small_data: str) -> None:
    arms = [{"name": "soft", "policy": {"kind": "softmax", "temperature": 0.3}}]
    values = {"name": "small", "users": 12, "days": 2, "slots": 4, "candidates": 20, "arms": arms}
    settings = parse_settings({**values, "data": small_data, "world": {"arrival_days": 1}})
    run_experiment(settings, tmp_path / "run", workers=1)
    plan = drive_plan(tmp_path / "run")
    users, before = ArmUsers(plan, 0), Tally(errors=Counter({"overloaded": 3}), older_snapshots=1)
    for day in range(2):
        users.begin_day(day)
        users.end_day(day)
    state = tmp_path / "state.npz"
    facts = {"tally": before.to_json(), "comparison": None}
    save_state(state, plan, [users], next_day=2, facts=facts)

    async def again() -> Driven:
        transport = httpx.MockTransport(learned)
        async with AsyncClient("http://127.0.0.1:8400", transport=transport) as client:
            return await drive(client, plan, DriveOptions(state=state, resume=True))

    done = asyncio.run(again())
    assert done.tally.errors == {"overloaded": 3}
    assert done.failures_before == 4
    assert not done.failed
    done.tally.older_snapshots += 1
    assert done.failed


def test_a_difference_of_any_day_fails() -> None:
    """A comparison is of the whole drive, so what differed before differs still."""
    assert Driven(Tally(), Comparison(missing=1)).failed
    assert not Driven(Tally(), Comparison(equal=1)).failed
