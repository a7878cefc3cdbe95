"""Moments of rollouts against counts by hand, and against a rollout of known hazards."""

from collections.abc import Sequence

import numpy as np
import pytest

from matinee_policies.datasets.dataset import Dataset
from matinee_policies.errors import ConfigError
from matinee_simulator.calibration.moment_names import DEPTHS, days_needed, group_of, parsed
from matinee_simulator.calibration.moments import (
    combined,
    leave_hazard,
    played_moments,
    return_after,
    return_slope,
    share_of,
)
from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout import Estimate, Played, Sight, play, relevance_order
from matinee_simulator.world import World

DAYS = 30
NAMES = (
    "ctr",
    "ctr_examined",
    "examined_4",
    "slot_ctr_2",
    "leave_1",
    "leave_3",
    "leave_unclicked",
    "return_day_3",
    "once_within_16",
    "return_slope",
    "return_after_2",
)


@pytest.fixture(scope="module")
def played(dataset: Dataset, world: World) -> Played:
    sight = Sight.of_data(world, dataset.interactions, seed=1)
    parameters = Parameters(arrival_days=1, leave_base=0.0)
    return play(
        world, sight, relevance_order(), users=400, days=DAYS, seed=5, parameters=parameters
    )


def test_moments_of_a_rollout_by_plain_counting(played: Played) -> None:
    found = played_moments(played, NAMES)
    sessions = list(
        zip(played.sessions.user, played.sessions.day, played.sessions.pages, strict=True)
    )
    clicks, shown = int(played.user_clicks.sum()), int(played.user_impressions.sum())
    examined = int(played.user_examined.sum())
    pages = [int(pages) for _, _, pages in sessions]
    days_of: dict[int, list[int]] = {}
    for user, day, _ in sessions:
        days_of.setdefault(int(user), []).append(int(day))
    firsts = {int(user): int(pages) + 1 for user, _, pages in reversed(sessions)}
    rates = []
    for depth in DEPTHS:
        group = [u for u, d in firsts.items() if min(d, 8) == depth]
        rates.append(np.mean([any(0 < day <= 3 for day in days_of[u]) for u in group]))
    seconds = [days[1] for days in days_of.values() if len(days) > 1 and days[1] + 14 < DAYS]
    thirds = [
        any(days[1] < day <= days[1] + 14 for day in days)
        for days in days_of.values()
        if len(days) > 1 and days[1] + 14 < DAYS
    ]
    assert len(seconds) == len(thirds)
    expected = {
        "ctr": clicks / shown,
        "ctr_examined": clicks / examined,
        "examined_4": played.slot_examined[3] / played.slot_impressions[3],
        "slot_ctr_2": played.slot_clicks[1] / played.slot_impressions[1],
        "leave_1": pages.count(1) / len(pages),
        "leave_3": pages.count(3) / sum(page >= 3 for page in pages),
        "leave_unclicked": np.mean(
            played.sessions.pages[played.sessions.first_page_clicks == 0] == 1
        ),
        "return_day_3": np.mean([3 in days for days in days_of.values()]),
        "once_within_16": np.mean(
            [sum(day < 16 for day in days) == 1 for days in days_of.values()]
        ),
        "return_slope": np.polyfit(DEPTHS, rates, 1)[0],
        "return_after_2": np.mean(thirds),
    }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, rel=1e-9), name
        assert 0 < found[name].error < 0.1, name


def test_errors_of_hazards_are_those_of_resampled_users() -> None:
    rng = np.random.default_rng(3)
    n = 300
    frailty = 2.0 * rng.normal(size=n)
    users = np.repeat(np.arange(n), 6).astype(np.int32)
    chance = 1 / (1 + np.exp(-frailty))[users]
    depths = rng.geometric(chance).astype(np.int32)
    found = leave_hazard(users, depths, 1)
    drawn = []
    for _ in range(400):
        rows = rng.integers(n, size=n)
        counts = np.bincount(rows, minlength=n)[users]
        drawn.append((counts * (depths == 1)).sum() / counts.sum())
    assert found.error == pytest.approx(np.std(drawn), rel=4 / np.sqrt(2 * 400))
    # Sessions are no independent sample here.
    assert found.error > 1.5 * np.sqrt(found.value * (1 - found.value) / depths.size)


def test_slope_of_a_line_is_its_slope() -> None:
    depths = np.repeat(DEPTHS, 1_000)
    back = np.tile(np.arange(1_000), len(DEPTHS)) < 50 * depths
    found = return_slope(depths, np.asarray(back))
    assert found.value == pytest.approx(0.05)
    rates = np.array(DEPTHS) * 0.05
    x = np.array(DEPTHS) - np.mean(DEPTHS)
    spread = np.sqrt((x**2 * rates * (1 - rates) / 1_000).sum()) / (x**2).sum()
    assert found.error == pytest.approx(spread)
    assert np.isnan(return_slope(depths[depths > 2], back[depths > 2]).value)


def test_days_that_are_not_watched_do_not_count() -> None:
    visits = np.zeros((3, 30), dtype=np.bool_)
    visits[0, [0, 14]] = True
    visits[1, [0, 15]] = True
    visits[2, 0] = True
    everyone = np.full(3, 30)
    assert return_after(visits, everyone, 1).value == pytest.approx(1 / 3)
    assert return_after(visits, np.array([30, 30, 14]), 1).value == pytest.approx(1 / 2)
    assert return_after(visits, everyone, 2).value == 0.0
    assert np.isnan(return_after(visits, np.full(3, 14), 1).value)


def test_estimates_of_seeds_are_averaged() -> None:
    rng = np.random.default_rng(0)
    seeds = [share_of(int(rng.binomial(500, 0.3)), 500) for _ in range(200)]
    whole = combined(seeds)
    assert abs(whole.value - 0.3) < 4 * whole.error
    assert whole.error == pytest.approx((0.3 * 0.7 / 100_000) ** 0.5, rel=0.05)
    assert np.isnan(share_of(0, 0).value)
    assert np.isnan(combined([Estimate(1.0, 1.0), share_of(0, 0)]).value)


@pytest.mark.parametrize(
    "name", ["d1", "leave", "leave_0", "ctr_3", "leave_1_2", "", 3, "return_slope_2"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="moment must be one of ctr, ctr_examined"):
        parsed(name)


def test_moments_that_a_rollout_cannot_tell_are_refused(played: Played) -> None:
    with pytest.raises(ConfigError, match="return_day_30 needs 31 days, got 30"):
        played_moments(played, ["return_day_30"])
    with pytest.raises(ConfigError, match="slot_ctr_11 must speak of one of 10 slots"):
        played_moments(played, ["slot_ctr_11"])


def test_every_moment_belongs_to_a_group_and_needs_days() -> None:
    names: Sequence[str] = NAMES
    assert {group_of(name) for name in names} == {"click", "session", "return"}
    assert max(days_needed(name) for name in names) == 29
