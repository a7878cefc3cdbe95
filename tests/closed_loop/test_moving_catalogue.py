"""A catalogue that moves: what is shown is there, new items get their places, runs repeat."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matinee_platform.decision_log import read_parts
from matinee_platform.log_schema import column_values
from matinee_platform.offline.prepare import catalogue_calendar, load_prepared, prepare
from matinee_platform.offline.replay_run import replay_run
from matinee_platform.offline.run import run_experiment
from matinee_platform.offline.shelf import arrives
from matinee_platform.offline.testing_arms import played
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_platform.verify import check_run
from matinee_policies.arrays import AnyArray
from matinee_policies.datasets.movielens import load_movielens
from matinee_policies.errors import ConfigError
from matinee_policies.records import PAD
from matinee_simulator.catalogue_calendar import CatalogueCalendar

DAYS, FRESH, CANDIDATES = 6, 8, 30


def _settings(data: Path, **changes: Any) -> ExperimentSettings:
    values = {
        "name": "moving",
        "seed": 6,
        "users": 70,
        "checkpoint_every": 0,
        "days": DAYS,
        "slots": 5,
        "candidates": CANDIDATES,
        "fresh_candidates": FRESH,
        "batch_size": 32,
        "design": "paired",
        "data": str(data),
        "world": {
            "arrival_days": 2,
            "arriving_share": 0.4,
            "item_arrivals": 12.0,
            "item_life_days": 25,
            "click_freshness": 0.5,
        },
        "reward": {"return_visit": {"weight": 0.1, "window_days": 2}},
        "arms": [
            {"name": "mf_order", "policy": {"kind": "score_order", "epsilon": 0.3}},
            {"name": "hybrid", "policy": {"kind": "lin_ucb", "form": "hybrid", "diversity": 0.05}},
            {"name": "pinned", "policy": {"kind": "uniform"}, "rules": {"pinned": {1: _pin(data)}}},
            {"name": "listed", "candidates": "popularity", "policy": {"kind": "uniform"}},
        ],
    }
    return parse_settings({**values, **changes})


def _pin(data: Path) -> int:
    """An item of the data that everybody knows."""
    known = load_movielens(data)
    return int(known.catalogue.ids[np.argmax(known.interactions.item_counts())])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, small_data: Path) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "moving"
    run_experiment(_settings(small_data), folder, workers=1)
    return folder


@pytest.fixture(scope="module")
def calendar(run: Path, small_data: Path) -> CatalogueCalendar:
    found = catalogue_calendar(_settings(small_data), load_prepared(run).world)
    assert found is not None
    return found


def _logged(run: Path, arm: str) -> dict[str, AnyArray]:
    parts = [column_values(table) for table in read_parts(run, "decisions", arm)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _hashes(results: dict[str, Any]) -> dict[str, tuple[str, list[str]]]:
    return {
        arm: (found["log_hash"], list(found["snapshots"]))
        for arm, found in results["arm_runs"].items()
    }


def _of(run: Path) -> dict[str, tuple[str, list[str]]]:
    return _hashes(json.loads((run / "results.json").read_text(encoding="utf-8")))


ARMS = ("mf_order", "hybrid", "pinned", "listed")


@pytest.mark.parametrize("arm", ARMS)
def test_candidates_are_what_is_available_on_the_day(
    run: Path, calendar: CatalogueCalendar, arm: str
) -> None:
    rows = _logged(run, arm)
    there = np.stack([calendar.available(day) for day in range(DAYS)])
    assert there.all(axis=0).mean() < 0.7
    assert (rows["candidates"] != PAD).all()
    assert there[rows["day"][:, None], rows["candidates"]].all()


@pytest.mark.parametrize("arm", ARMS)
def test_new_items_have_their_places_on_first_pages(
    run: Path, calendar: CatalogueCalendar, arm: str
) -> None:
    rows, late = _logged(run, arm), arrives(calendar)
    new = late[rows["candidates"]].sum(axis=1)
    for day in range(DAYS):
        open_today = int((calendar.available(day) & late).sum())
        first = (rows["day"] == day) & (rows["page"] == 0)
        # Some of them may rest or be watched already; of so few that is soon all of them.
        assert (new[first] <= open_today).all()
        if day >= 3:
            assert open_today > 25
            assert (new[first] >= FRESH).all()
    assert new[rows["day"] == 0].sum() == 0
    # Not the same ones for everybody.
    last = (rows["day"] == DAYS - 1) & (rows["page"] == 0)
    shown = np.unique(rows["candidates"][last])
    assert late[shown].sum() > 2 * FRESH


def test_a_pin_holds_while_its_item_is_there(
    run: Path, small_data: Path, calendar: CatalogueCalendar
) -> None:
    model = load_prepared(run).model
    pin = int(np.flatnonzero(model.catalogue.ids == _pin(small_data))[0])
    rows = _logged(run, "pinned")
    first = rows["page"] == 0
    days = [day for day in range(DAYS) if calendar.available(day)[pin]]
    there = first & np.isin(rows["day"], days)
    assert (rows["slate"][there, 1] == pin).all()
    assert not (rows["slate"][~np.isin(rows["day"], days)] == pin).any()


def test_nobody_has_rated_what_is_yet_to_come(run: Path, calendar: CatalogueCalendar) -> None:
    model = load_prepared(run).model
    late = arrives(calendar)
    assert 0.3 < late.mean() < 0.5
    assert (model.items.popularity[late] == 0).all()
    assert (model.items.popularity_residual[late] == 0).all()
    assert (model.items.novelty[late] == 1).all()
    assert (model.items.popularity[~late] > 0).mean() > 0.9
    # The first factor is constant; it stands for the level of the user.
    assert (model.sources["mf"].item_factors[late, 1:] == 0).all()


def test_every_log_is_rescored(run: Path) -> None:
    assert all(replay.passed for replay in replay_run(run))
    checks = check_run(run)
    assert len(checks) == len(ARMS)
    for check in checks:
        assert check.passed, check
        assert check.slots > 100


def test_the_size_of_batches_does_not_show(run: Path, small_data: Path, tmp_path: Path) -> None:
    assert played(_settings(small_data, batch_size=3), tmp_path / "again") == _of(run)


class StopError(Exception):
    """Interrupts a run from within."""


def test_an_interrupted_run_goes_on(run: Path, small_data: Path, tmp_path: Path) -> None:
    left = 10

    def stop(_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise StopError

    settings = _settings(small_data)
    with pytest.raises(StopError):
        run_experiment(settings, tmp_path / "run", workers=1, report=stop)
    results = run_experiment(settings, tmp_path / "run", workers=1, resume=True)
    assert _hashes(results) == _of(run)


def test_without_places_new_items_are_rare_and_the_run_is_another(
    small_data: Path, tmp_path: Path, calendar: CatalogueCalendar
) -> None:
    arms = [{"name": "listed", "candidates": "popularity", "policy": {"kind": "uniform"}}]
    settings = _settings(small_data, fresh_candidates=0, arms=arms)
    run_experiment(settings, tmp_path / "run", workers=1)
    candidates = _logged(tmp_path / "run", "listed")["candidates"]
    assert not arrives(calendar)[candidates].any()


def test_users_without_any_history_are_served(small_data: Path, tmp_path: Path) -> None:
    settings = _settings(
        small_data,
        scenario="cold_start",
        world={"arrival_days": 1, "item_arrivals": 20.0},
        days=3,
        users=40,
    )
    results = run_experiment(settings, tmp_path / "run", workers=1)
    assert results["arms"]["hybrid"]["pages"] > 0
    assert load_prepared(tmp_path / "run").model.sources["mf"].n_items > 100
    assert all(check.passed for check in check_run(tmp_path / "run"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"world": {"item_life_days": 9}, "fresh_candidates": 0, "days": 12},
            r"must leave at least 30 items available on every day, got \d+ on day \d+",
        ),
        (
            {"world": {}},
            r"fresh_candidates needs items that arrive: world.arriving_share must be > 0, got 0",
        ),
        ({"scenario": "strss"}, r"got 'strss'; did you mean stress\?"),
        ({"scenario": "stress", "world": {"item_life": 3}}, "has no setting 'item_life'"),
        (
            {"world": {"arriving_share": 0.9999, "item_arrivals": 5.0}},
            "arriving_share must leave at least one|must leave at least 30 items",
        ),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(
    small_data: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        run_experiment(_settings(small_data, **changes), tmp_path / "run", workers=1)
    assert not (tmp_path / "run").exists()


def test_rules_that_leave_too_little_on_a_day_are_named(small_data: Path) -> None:
    names = load_movielens(small_data).catalogue.genre_names
    settings = _settings(
        small_data,
        fresh_candidates=0,
        candidates=60,
        world={"arriving_share": 0.75, "item_arrivals": 1.0},
        rules={"exclude_genres": list(names[:6])},
        arms=[{"name": "ruled", "policy": {"kind": "uniform"}}],
    )
    with pytest.raises(ConfigError, match=r"on day \d+ the rules of arm 'ruled' leave \d+"):
        prepare(settings)


def test_more_places_than_candidates_are_refused(small_data: Path) -> None:
    with pytest.raises(ConfigError, match="fresh_candidates must be at most candidates = 30"):
        _settings(small_data, fresh_candidates=31)
