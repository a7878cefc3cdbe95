"""Parameters that made the figures are found again from the figures, on users of other seeds."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from matinee_policies.datasets.dataset import Dataset
from matinee_policies.errors import ConfigError, DataError
from matinee_simulator.calibration import (
    CalibrationSettings,
    FitSettings,
    Service,
    Target,
    calibrate,
    data_digest,
)
from matinee_simulator.calibration.fit import fit, residuals
from matinee_simulator.calibration.service import Room
from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout import Sight
from matinee_simulator.world import World

TRUE = Parameters(
    click_base=-2.6, examination_persistence=0.75, leave_base=0.2, leave_frailty_sd=1.4
)
NAMES = (
    "ctr",
    "slot_ctr_1",
    "slot_ctr_6",
    "leave_unclicked",
    *(f"leave_{page}" for page in range(1, 7)),
)
DAYS = 8


@pytest.fixture(scope="module")
def sight(dataset: Dataset, world: World) -> Sight:
    return Sight.of_data(world, dataset.interactions, seed=1)


def service(world: World, sight: Sight, *, seed: int, users: int) -> Service:
    audience = sight.meet(world, users=users, seed=seed, parameters=Parameters())
    return Service(rooms=(Room(seed, world, sight, audience),), users=users, workers=1)


def test_known_parameters_are_found_again(world: World, sight: Sight) -> None:
    drawn = service(world, sight, seed=51, users=1_500)(TRUE, NAMES, DAYS)
    # Both sides are drawn: the targets with their errors, and the simulations that meet them.
    targets = [
        Target(
            name=name,
            value=drawn[name].value,
            tolerance=2.0 * drawn[name].error,
            standard_error=drawn[name].error,
            kind="log",
            source="drawn",
        )
        for name in NAMES
    ]
    model = service(world, sight, seed=52, users=1_000)
    found = fit(
        model,
        targets,
        start=Parameters(),
        settings=FitSettings(budget=30, restarts=0, pull=0.1, polish=2),
    )
    before = residuals(model(Parameters(), NAMES, DAYS), targets)
    assert before @ before > 200
    # On users that neither side has seen, every figure is met within its sampling error.
    fresh = service(world, sight, seed=53, users=1_500)(found.parameters, NAMES, DAYS)
    for target in targets:
        error = np.hypot(fresh[target.name].error, 2.0 * drawn[target.name].error)
        assert abs(fresh[target.name].value - target.value) < 4 * error, target.name
    for free, error in zip(found.free, found.errors.tolist(), strict=True):
        away = abs(getattr(found.parameters, free.name) - getattr(TRUE, free.name))
        assert away < 3 * error, free.name
    # What one figure alone tells is known well.
    errors = dict(zip((free.name for free in found.free), found.errors.tolist(), strict=True))
    assert errors["click_base"] < 0.1
    assert errors["examination_persistence"] < 0.02


def test_luck_is_common_to_all_parameters(world: World, sight: Sight) -> None:
    model = service(world, sight, seed=52, users=400)
    one = model(TRUE, NAMES, DAYS)
    assert model(TRUE, NAMES, DAYS) == one
    # Retention parameters move nobody's first page.
    near = model(dataclasses.replace(TRUE, click_base=TRUE.click_base + 1e-9), NAMES, DAYS)
    assert near == one


SMALL = CalibrationSettings(
    users=60,
    seeds=(1,),
    fresh_users=60,
    fresh_seeds=(7,),
    search=FitSettings(budget=4, restarts=0, polish=0),
)
LEAVE = [
    Target(name=f"leave_{page}", value=0.5, tolerance=0.1, kind="assumption", source="x")
    for page in (1, 2)
]


def test_a_calibration_is_reproduced_and_resumed(dataset: Dataset, tmp_path: Path) -> None:
    def run(journal: str, *, resume: bool) -> dict[str, object]:
        lines: list[str] = []
        found = calibrate(
            dataset,
            LEAVE,
            settings=SMALL,
            start=Parameters(),
            journal=tmp_path / journal,
            resume=resume,
            announce=lines.append,
        )
        assert ("Resuming" in " ".join(lines)) == resume
        return found.to_json()

    first = run("a", resume=False)
    fitted = first["fitted"]
    assert isinstance(fitted, list)
    assert all(entry["value"] == round(entry["value"], 4) for entry in fitted)
    assert run("a", resume=True) == first
    data = first["data"]
    assert isinstance(data, dict)
    assert data["sha256"] == data_digest(dataset)
    changed = dataclasses.replace(
        dataset.catalogue, years=(dataset.catalogue.years + 1).astype(np.int16)
    )
    assert data_digest(dataclasses.replace(dataset, catalogue=changed)) != data["sha256"]
    with pytest.raises(DataError, match="same data, targets, seeds and settings"):
        calibrate(
            dataset,
            LEAVE,
            settings=dataclasses.replace(SMALL, users=61),
            start=Parameters(),
            journal=tmp_path / "a",
            resume=True,
        )


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"users": 5}, "users must be >= 10, got 5"),
        ({"seeds": ()}, "seeds must not be empty"),
        ({"seeds": (1, 1)}, "must all be distinct"),
        ({"fresh_seeds": (1,)}, "must all be distinct"),
        ({"fresh_seeds": (-1,)}, "fresh_seeds must be >= 0"),
    ],
)
def test_settings_that_do_not_do_are_refused(change: dict[str, object], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        dataclasses.replace(SMALL, **change)  # type: ignore[arg-type]
