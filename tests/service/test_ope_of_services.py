"""Policies valued on the log of a service: the same numbers on SQLite and on PostgreSQL."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_platform.clock import FakeClock, SystemClock
from matinee_platform.learning.service_arms import SNAPSHOTS, open_stores
from matinee_platform.learning.testing_kills import ARM, EXPERIMENT, make_service
from matinee_platform.learning.testing_live import ExampleTraffic
from matinee_platform.ope.comparison import compare
from matinee_platform.ope.evaluator import Method
from matinee_platform.ope.inputs.open_log import open_log
from matinee_platform.ope.inputs.policy_log import LogCheck, weighed
from matinee_platform.ope.inputs.target_policy import target_policy
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.storage.event_log import make_event_log
from matinee_platform.storage.records import ServedBy
from matinee_platform.storage.snapshot_store import FolderSnapshotStore
from matinee_policies.errors import ConfigError
from matinee_policies.registry import build_policy

DECISIONS = 900


def serve(settings: ServiceSettings) -> None:
    """Decisions of half an hour ago, their rewards, and some whose window is open for long."""
    start = SystemClock().now_ms() - 1_800_000
    with open_stores(settings, clock=FakeClock(start)) as stores:
        (experiment,) = settings.experiments
        clock = FakeClock(start)
        traffic = ExampleTraffic(stores.arm(experiment, experiment.arms[0]), clock=clock, seed=4)

        async def append() -> None:
            log = await make_event_log(settings, windows=lambda _: experiment.windows_ms())
            for record in traffic.decide(DECISIONS):
                await log.appender.append_decision(record)
            await log.appender.append_rewards(traffic.rewards(4 * DECISIONS))
            clock.advance(seconds=7_200)
            for record in traffic.decide(7):
                await log.appender.append_decision(record)
            await log.appender.close()

        asyncio.run(append())


@pytest.fixture(scope="module")
def services(
    tmp_path_factory: pytest.TempPathFactory, new_postgres_database: Callable[[], str]
) -> dict[str, ServiceSettings]:
    """One service twice, of the same master secret."""
    found = {}
    secret = None
    for name in ("sqlite", "postgresql"):
        folder = tmp_path_factory.mktemp(name)
        if secret is not None:
            (folder / secret.name).write_bytes(secret.read_bytes())
            (folder / secret.name).chmod(0o600)
        database = "sqlite" if name == "sqlite" else new_postgres_database()
        found[name] = make_service(folder, kind="softmax", database=database)
        secret = next(path for path in folder.iterdir() if "secret" in path.name)
        serve(found[name])
    return found


def test_both_databases_give_the_same_numbers(services: dict[str, ServiceSettings]) -> None:
    told: list[dict[str, Any]] = []
    for settings in services.values():
        with open_log(settings, component="click") as log:
            target = {"kind": "softmax", "temperature": 0.11}
            told.append(compare(log, [target], Method()).to_json())
    assert told[0] == told[1]
    (one,) = told[0]["policies"]
    assert one["rescored"]["unequal_slots"] == one["rescored"]["unmatched_decisions"] == 0
    assert 0.9 * DECISIONS < one["decisions"] < DECISIONS
    assert one["value"] is not None
    notes = " ".join(one["notes"])
    assert "7 decisions are left out: a window had not closed" in notes
    assert "a fallback served them" in notes


def test_rewards_are_those_that_stand(services: dict[str, ServiceSettings]) -> None:
    """Clicks counted from the records: in time, each slot once; who watched has clicked."""
    with open_stores(services["sqlite"], clock=SystemClock()) as stores:
        decisions = stores.reader.decisions(upto=stores.reader.last_seq())
        shown = {}
        for one in decisions:
            record = one.record
            closed = record.decided_at < SystemClock().now_ms()
            if closed and record.served_by is ServedBy.POLICY:
                slate = np.frombuffer(record.slate, dtype="<i4")
                shown[record.decision_id] = (slate >= 0, record.decided_at)
        clicks = set()
        (experiment,) = services["sqlite"].experiments
        window = experiment.windows_ms()[0]
        for reward in stores.reader.rewards(after=0, upto=stores.reader.last_seq()):
            event = reward.record
            if event.component in (0, 1) and event.decision_id in shown:
                slots, decided_at = shown[event.decision_id]
                in_time = event.received_at <= decided_at + window
                if 0 <= event.slot < slots.size and slots[event.slot] and in_time:
                    clicks.add((event.decision_id, event.slot))
    with open_log(services["sqlite"], component="click") as log:
        target = build_policy("uniform", {}, dimension=log.dimension)
        batches = list(weighed(log, target, model=None, check=LogCheck()))
    assert sum(batch.rewards.sum() for batch in batches) == len(clicks) > 100
    assert sum(len(batch) for batch in batches) == len(shown)


def test_what_an_arm_learned_is_told_as_in_sample(
    services: dict[str, ServiceSettings], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "00000003.npz"
    for name, settings in services.items():
        with (
            open_stores(settings, clock=SystemClock()) as stores,
            open_log(settings, component="click") as log,
        ):
            learned = build_policy("epsilon_greedy", {}, dimension=log.dimension).snapshot()
            folder = FolderSnapshotStore(settings.data_dir / SNAPSHOTS, keys=stores.secrets.signing)
            folder.save(EXPERIMENT, ARM, 3, learned)
            learned.save(elsewhere, keys=stores.secrets.signing)
            own = target_policy(folder.path(EXPERIMENT, ARM, 3), log)
            assert own.in_sample == (name == "sqlite")
            assert not target_policy(elsewhere, log).in_sample


def test_the_command_reads_a_folder_or_settings(
    services: dict[str, ServiceSettings], tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("{kind: softmax, temperature: 0.11}", encoding="utf-8")
    config = tmp_path / "serve.yaml"
    document = services["postgresql"].model_dump(mode="json")
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    folder = str(services["sqlite"].data_dir)
    values = []
    for words in (["ope", folder], ["ope", "--config", str(config)]):
        words += ["--policy", str(policy), "--arm", ARM, "--experiment", EXPERIMENT]
        found = CliRunner().invoke(app, [*words, "--component", "watch", "--json"])
        assert found.exit_code == 0, found.output
        values.append(json.loads(found.stdout)[0]["policies"][0]["value"])
    assert values[0] == values[1] is not None
    promoted = CliRunner().invoke(
        app, ["promote", folder, "--policy", str(policy), "--component", "click"]
    )
    assert "Ramp to" in promoted.stdout or "Do not start it" in promoted.stdout


def test_what_a_service_does_not_have(services: dict[str, ServiceSettings]) -> None:
    for options, rule in (
        ({"arm": "nobody"}, f"arm of {EXPERIMENT} must be one of {ARM}, got 'nobody'"),
        ({"experiment": "none"}, f"experiment must be one of {EXPERIMENT}, got 'none'"),
    ):
        with (
            pytest.raises(ConfigError, match=rule),
            open_log(services["sqlite"], **options),
        ):
            pass
