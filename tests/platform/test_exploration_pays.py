"""T12: what a gain of exploration is, and the experiment that measures it."""

import math

import numpy as np
import pytest

from matinee_platform.validation.exploration_pays import PAIRS, Pair, gain_of, run
from matinee_policies.errors import ConfigError


def test_a_gain_is_the_mean_of_paired_differences_with_both_errors() -> None:
    rng = np.random.default_rng(1)
    greedy = [rng.poisson(3.0, 400).astype(np.float64) for _ in range(4)]
    explorer = [clicks + rng.poisson(0.5, 400) for clicks in greedy]
    found = gain_of("pair", greedy, explorer)
    assert found.difference == pytest.approx(found.explorer - found.greedy)
    assert abs(found.difference - 0.5) < 4 * math.sqrt(0.5 / 1600)
    # Added counts have the variance .5, whatever the users' own clicks.
    assert found.user_error == pytest.approx(math.sqrt(0.5 / 1600), rel=0.1)
    assert found.seed_error == pytest.approx(np.std(found.by_seed, ddof=1) / 2)
    assert found.clear
    assert not gain_of("pair", explorer, greedy).clear


def test_seeds_that_disagree_are_no_clear_gain() -> None:
    same = np.zeros(100)
    seeds = [np.full(100, shift) + np.linspace(-0.1, 0.1, 100) for shift in (1.0, -0.5)]
    found = gain_of("pair", [same, same], seeds)
    assert found.difference > 3 * found.user_error
    assert not found.clear


def test_pairs_differ_in_exploration_alone() -> None:
    for pair in PAIRS:
        assert pair.greedy["alpha"] == 0.0
        assert pair.explorer["alpha"] > 0.0
        assert {**pair.greedy, "alpha": 0.0} == {**pair.explorer, "alpha": 0.0}


def test_the_same_policy_twice_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MATINEE_DATA", raising=False)
    policy = PAIRS[0].explorer
    found = run(
        quick=True,
        users=40,
        days=4,
        pairs=[Pair("same", policy, policy, {**PAIRS[0].world, "arrival_days": 2})],
    )
    (gain,) = found.gains
    assert gain.greedy > 0
    assert (gain.difference, gain.user_error) == (0.0, 0.0)
    assert not found.passed
    assert found.to_json()["gains"][0]["by_seed"] == (0.0,)
    with pytest.raises(ConfigError, match="users must be at least 2"):
        run(quick=True, users=1)
