"""Compiled rollouts and runs of the platform are the same experiment, page by page."""

from pathlib import Path

import numpy as np

from matinee_platform.data_source import open_data
from matinee_platform.decision_log import read_parts
from matinee_platform.offline.prepare import world_parameters
from matinee_platform.offline.run import run_experiment
from matinee_platform.settings import parse_settings
from matinee_simulator.long_run import frozen_index
from matinee_simulator.rollout import (
    Sight,
    click_order,
    play,
    popularity_order,
    relevance_order,
    satisfaction_order,
)
from matinee_simulator.world import World

DAYS, USERS, SLOTS, CANDIDATES = 8, 50, 6, 30

RANKERS = {
    "mf_order": relevance_order(),
    "popularity": popularity_order(),
    "click_oracle": click_order(),
    "satisfaction_oracle": satisfaction_order(),
    "index_oracle": frozen_index().ranker(),
}


def test_arms_of_a_run_are_what_rollouts_play(tmp_path: Path, small_data: Path) -> None:
    settings = parse_settings(
        {
            "name": "same",
            "seed": 6,
            "data": str(small_data),
            "users": USERS,
            "days": DAYS,
            "slots": SLOTS,
            "candidates": CANDIDATES,
            "design": "paired",
            "world": {"click_base": -2.0, "arrival_days": 2, "rating_share": 0.5},
            "arms": [
                {
                    "name": name,
                    "candidates": "popularity" if name == "popularity" else "mf",
                    "policy": {"kind": name if name.endswith("oracle") else "score_order"},
                }
                for name in RANKERS
            ],
        }
    )
    results = run_experiment(settings, tmp_path / "run", workers=1)
    assert results["arms"]["index_oracle"]["reference"]
    dataset = open_data(settings.data)
    world = World.from_interactions(dataset.catalogue, dataset.interactions, seed=6)
    sight = Sight.of_data(world, dataset.interactions, seed=6)
    pages = {}
    for name, ranker in RANKERS.items():
        played = play(
            world,
            sight,
            ranker,
            users=USERS,
            days=DAYS,
            seed=6,
            parameters=world_parameters(settings),
            slots=SLOTS,
            candidates=CANDIDATES,
        )
        rows = played.sessions
        for day in range(DAYS):
            decided = sum(
                part.num_rows for part in read_parts(tmp_path / "run", "decisions", name, day=day)
            )
            assert decided == rows.pages[rows.day == day].sum(), (name, day)
            watched = [
                value
                for part in read_parts(tmp_path / "run", "rewards", name, day=day)
                for kind, value in zip(
                    part["component"].to_pylist(), part["value"].to_pylist(), strict=True
                )
                if kind == "watch"
            ]
            assert len(watched) == rows.clicks[rows.day == day].sum(), (name, day)
            np.testing.assert_allclose(
                sum(watched), rows.watched[rows.day == day].sum(), rtol=1e-4, atol=1e-4
            )
        pages[name] = int(rows.pages.sum())
    # The arms do not all do the same.
    assert len(set(pages.values())) >= 4
