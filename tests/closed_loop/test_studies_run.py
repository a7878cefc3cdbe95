"""Studies run and say what they found; their figures are in the documents."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from matinee_platform.offline.prepare import prepare, world_parameters
from matinee_platform.offline.shock_calendar import genre_shocks
from matinee_platform.settings import parse_settings
from matinee_platform.studies import drift, forgetting, warm_start
from matinee_simulator.catalogue_calendar import CatalogueCalendar
from matinee_simulator.item_boost import ItemBoost


def test_studies_run(small_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATINEE_DATA", str(small_data))
    savings = warm_start.run(
        scenarios=["movielens"],
        policies={"common": warm_start.POLICIES["common coefficients"]},
        seeds=[1],
        users=60,
        donor_days=8,
    )
    assert [saving.start for saving in savings] == [
        "snapshot",
        "tenth of snapshot",
        "score prior",
    ]
    for saving in savings:
        assert -1.0 < saving.saved < 1.0
        assert saving.by_seed == pytest.approx((saving.saved,))
        assert np.isnan(saving.seed_error)
        assert saving.regret.first > 0.0
        assert len(saving.warm_by_day) == 7
        assert "saves" in saving.text()
    (found,) = forgetting.run(
        worlds={"calm": {"arrival_days": 2}}, seeds=[1], users=40, days=4, arms=forgetting.ARMS
    )
    assert len(found.clicks) == len(found.regret) == 2
    assert found.clicks[0].first > 0.0


def test_the_study_of_drift_runs(small_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATINEE_DATA", str(small_data))
    shaken = {"arrival_days": 2, "shock_rate": 0.3}
    for worlds, name in ((drift.CALM, "movielens"), (drift.SHOCKED, "stress")):
        experiment = worlds[name].experiment
        world = {**experiment.get("world", {}), **shaken}
        tiny = replace(worlds[name], experiment={**experiment, "days": 14, "world": world})
        monkeypatch.setitem(worlds, name, tiny)
    calm, shocked = drift.run(worlds=["movielens", "stress"], seeds=[1], users=40)
    assert isinstance(calm, drift.FalseAlarms)
    assert (calm.arm, calm.everywhere.cases) == ("lin_ucb", 1)
    assert isinstance(shocked, drift.Delays)
    assert shocked.noticed.cases == len(shocked.delays) + len(shocked.missed)
    assert len(drift.to_json([calm, shocked])) == 2
    assert "movielens" in calm.text()
    assert "noticed" in shocked.text()


def test_shocks_are_told_as_the_simulator_has_them(small_data: Path) -> None:
    """Films of one genre alone are more attractive by the size of the shocks that are under way."""
    settings = parse_settings(
        {
            "data": str(small_data),
            "users": 10,
            "days": 40,
            "world": {"shock_rate": 0.5, "shock_size": 2.0},
            "arms": [{"name": "order", "policy": {"kind": "score_order"}}],
        }
    )
    shared, parameters = prepare(settings), world_parameters(settings)
    calendar = CatalogueCalendar(shared.world, parameters, seed=settings.seed, days=40)
    boost = ItemBoost(shared.world, parameters, calendar, seed=settings.seed)
    catalogue, shocks = shared.model.catalogue, genre_shocks(settings, shared)
    assert len(shocks) > 5
    alone = np.flatnonzero(catalogue.genres.sum(axis=1) == 1)
    genre = np.array(catalogue.genre_names)[catalogue.genres[alone].argmax(axis=1)]
    # By then no shock from before the run is left.
    for day in range(parameters.shock_days, 40):
        here = [shock.genre for shock in shocks if shock.first <= day <= shock.last]
        expected = [2.0 * here.count(name) for name in genre]
        np.testing.assert_allclose(boost.on(day)[alone], expected, atol=1e-6)
