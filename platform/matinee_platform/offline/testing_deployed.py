"""Arms of a run that were deployed, and how a live one is asked, for tests that compare the two."""

# ruff: noqa: D101, D102, D103 -- names say what they are for

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matinee_platform.decision_log import read_parts
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.log_rows import unpack_state
from matinee_platform.log_schema import column_values
from matinee_platform.offline.arm_state import arm_secret
from matinee_platform.offline.run import run_experiment
from matinee_platform.serving.asks import Ask
from matinee_platform.serving.bundle import LoadedBundle, load_bundle
from matinee_platform.serving.deploy import deploy_arm
from matinee_platform.serving.unit_fold import Unit, UnitFold
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_platform.storage.records import DecisionRecord, ServedBy
from matinee_policies.datasets.testing_movielens import write_small_movielens
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_signature import SigningKeys

POLICIES: dict[str, dict[str, Any]] = {
    "order": {"kind": "score_order", "epsilon": 0.2},
    "ucb": {"kind": "lin_ucb", "alpha": 0.5, "diversity": 0.05},
    "eps": {"kind": "epsilon_greedy", "epsilon": 0.1, "diversity": 0.05},
    "ts": {"kind": "thompson"},
    "vw": {"kind": "vowpal_wabbit", "exploration": "squarecb", "diversity": 0.05},
    "mix": {
        "kind": "mixture",
        "bases": [
            {"kind": "lin_ucb", "weight": 0.7, "policy": {"diversity": 0.05}},
            {"kind": "softmax", "weight": 0.3},
        ],
    },
}
KEYS = SigningKeys({"service": bytes(range(32))})


def deployed_run(folder: Path) -> Path:
    """A run of these policies on made data, each of its arms deployed beside it."""
    data = folder / "data"
    data.mkdir()
    write_small_movielens(data, n_users=120, n_items=400)
    settings = parse_settings(
        {
            "name": "small",
            "users": 60,
            "days": 5,
            "slots": 5,
            "candidates": 30,
            "rest": 12,
            "data": str(data),
            "world": {"arrival_days": 1},
            "arms": [{"name": name, "policy": policy} for name, policy in POLICIES.items()],
        }
    )
    run = folder / "run"
    run_experiment(settings, run, workers=1)
    for arm in POLICIES:
        deploy_arm(run, arm, data_dir=folder / "service", keys=KEYS)
    return run


@dataclass(frozen=True)
class Deployed:
    run: Path
    settings: ExperimentSettings
    bundle: LoadedBundle
    arm: str

    @property
    def secret(self) -> bytes:
        return arm_secret(self.settings, self.settings.arm(self.arm))

    def snapshot(self, version: int) -> Snapshot:
        return Snapshot.load(self.run / "snapshots" / self.arm / f"{version:05d}.npz")

    def decisions(self) -> dict[str, Any]:
        days = [
            column_values(table)
            for day in range(self.settings.days)
            for table in read_parts(self.run, "decisions", self.arm, day=day)
        ]
        return {name: np.concatenate([day[name] for day in days]) for name in days[0]}

    def rewards(self) -> dict[str, Any]:
        days = [
            column_values(table)
            for day in range(self.settings.days)
            for table in read_parts(self.run, "rewards", self.arm, day=day)
        ]
        return {name: np.concatenate([day[name] for day in days]) for name in days[0]}


def deployed_arm(run: Path, arm: str) -> Deployed:
    settings = parse_settings(json.loads((run / "settings.json").read_text()))
    bundle = load_bundle(run.parent / "service", arm, keys=KEYS)
    return Deployed(run, settings, bundle, arm)


class OneArm:
    """Assigns every unit to one arm."""

    def __init__(self, arm: str | None, bucket: int = 7) -> None:
        self.arm = arm
        self.bucket = bucket

    def assign(self, experiment: str, unit: str) -> "OneArm":
        return self


def plain_ask(unit: str, number: int) -> Ask:
    return Ask(experiment="home", unit=unit, decision_id=number, body_digest=bytes(16))


def live(deployed: Deployed, **changes: Any) -> LiveExperiment:
    return LiveExperiment.model_validate(
        {
            "key": "home",
            "salt": "home-1",
            "slots": deployed.settings.slots,
            "candidates": deployed.settings.candidates,
            "rest": deployed.settings.rest,
            "arms": [{"name": deployed.arm, "bundle": deployed.arm}],
            **changes,
        }
    )


def set_state(fold: UnitFold, unit: Unit, rows: dict[str, Any], place: int) -> None:
    state = unpack_state(rows["unit_state"][[place]], rows["last_watched"][[place]])
    states, row = fold.states, unit.row
    states.genre_history[row] = state.genre_history[0]
    states.genre_exposure[row] = state.genre_exposure[0]
    states.last_watched[row] = state.last_watched[0]
    states.sessions[row] = int(state.activity[0])
    states.days_since[row] = state.days_since_visit[0]


def record_of(rows: dict[str, Any], place: int) -> DecisionRecord:
    return DecisionRecord(
        decision_id=int(rows["decision_id"][place]),
        body_digest=bytes(16),
        experiment="home",
        arm="ucb",
        unit=int(rows["unit"][place]),
        bucket=int(rows["bucket"][place]),
        decided_at=int(rows["decided_at"][place]),
        page=int(rows["page"][place]),
        snapshot=int(rows["snapshot"][place]),
        feature_version=1,
        catalogue_version=int(rows["catalogue_version"][place]),
        served_by=ServedBy.POLICY,
        last_watched=int(rows["last_watched"][place]),
        unit_state=rows["unit_state"][place].tobytes(),
        candidates=rows["candidates"][place].tobytes(),
        scores=rows["scores"][place].tobytes(),
        slate=rows["slate"][place].tobytes(),
        propensities=rows["propensities"][place].tobytes(),
    )
