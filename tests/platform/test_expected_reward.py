"""The level of rewards by a plain twin, and alarms in populations that move or respond anew."""

from collections.abc import Callable

import numpy as np
import pytest

from matinee_platform.analysis.drift import ALL_ITEMS, Drift, drift_of
from matinee_platform.analysis.expected_reward import ExpectedReward, terms
from matinee_platform.analysis.shown_slots import ShownSlots
from matinee_platform.drift_detector import DriftConfig

GENRES = ("Comedy", "Drama", "War")
DAYS = 35

Shift = Callable[[int], float]


def never(day: int) -> float:
    return 0.0


def population(
    seed: int,
    *,
    users: int = 100,
    tired: Shift = lambda day: 0.2,
    everywhere: Shift = never,
    in_drama: Shift = never,
) -> list[tuple[int, ShownSlots]]:
    """Days of users of whom a share of `tired` have a feature that lowers rewards, in a curve.

    Users differ by more than their features say, and come on one day in ten.
    """
    rng = np.random.default_rng(seed)
    taste = rng.normal(scale=0.2, size=10 * users)
    days = []
    for day in range(DAYS):
        who = rng.integers(0, 10 * users, size=users)
        age = np.repeat(0.2 + 0.4 * (rng.random(users) < tired(day)), 5)
        who = np.repeat(who, 5)
        age += 0.3 * rng.random(who.size)
        liked = rng.random(who.size)
        features = np.stack([np.ones(who.size), age, liked], axis=1).astype(np.float32)
        genres = rng.dirichlet([0.3, 0.3, 0.1], size=who.size).astype(np.float32)
        rewards = 1.0 - 1.5 * age + 0.7 * age**2 + 0.4 * liked + taste[who]
        rewards += everywhere(day) + in_drama(day) * genres[:, 1]
        rewards += rng.normal(scale=0.3, size=who.size)
        days.append((day, ShownSlots(who.astype(np.uint64), features, rewards, genres)))
    return days


def slowly(day: int) -> float:
    return 0.2 + 0.6 * day / DAYS


def at_once(day: int) -> float:
    return 0.2 if day < 20 else 0.8


def drift_in(days: list[tuple[int, ShownSlots]], **settings: float) -> Drift:
    return drift_of(days, days=DAYS, genres=GENRES, config=DriftConfig.from_json(settings))


def departure_by_hand(before: list[ShownSlots], day: ShownSlots) -> np.ndarray:
    """Of each figure, user by user, with coefficients from all rows at once."""
    z = np.concatenate([terms(one.features) for one in before])
    y = np.concatenate([one.rewards for one in before])
    gram = z.T @ z + np.eye(z.shape[1])
    theta = np.linalg.solve(gram, z.T @ y)

    def summed(slots: ShownSlots, figure: int, under: np.ndarray) -> tuple[float, ...]:
        """Size, residual, squared error of the mean, and mean terms."""
        share = np.ones(len(slots)) if figure == 0 else slots.genres[:, figure - 1].astype(float)
        residual = slots.rewards - terms(slots.features) @ under
        mean = (share * residual).sum() / share.sum()
        users = np.unique(slots.units)
        gaps = [(share * (residual - mean))[slots.units == user].sum() for user in users]
        error = np.sqrt(users.size / (users.size - 1) * np.square(gaps).sum()) / share.sum()
        return share.sum(), mean, error, share @ terms(slots.features) / share.sum()

    # Errors of earlier days are those under the coefficients of their own time.
    spread, errors = np.zeros_like(gram), []
    for place, slots in enumerate(before):
        rows = before[: max(place, 1)]
        zb = np.concatenate([terms(one.features) for one in rows])
        yb = np.concatenate([one.rewards for one in rows])
        own = np.linalg.solve(zb.T @ zb + np.eye(zb.shape[1]), zb.T @ yb)
        scores = terms(slots.features) * (slots.rewards - terms(slots.features) @ own)[:, None]
        for user in np.unique(slots.units):
            one = scores[slots.units == user].sum(axis=0)
            spread += np.outer(one, one)
        errors.append([summed(slots, figure, own)[2] for figure in range(1 + len(GENRES))])
    covariance = np.linalg.inv(gram) @ spread @ np.linalg.inv(gram)
    found = []
    for figure in range(1 + len(GENRES)):
        size, mean, error, moved = summed(day, figure, theta)
        past = [summed(slots, figure, theta) for slots in before]
        total = sum(one[0] for one in past)
        level = sum(one[0] * one[1] for one in past) / total
        squares = sum((one[0] * e[figure]) ** 2 for one, e in zip(past, errors, strict=True))
        away = moved - sum(one[0] * one[3] for one in past) / total
        variance = max(error**2, squares / (total * size)) + squares / total**2
        found.append((mean - level) / np.sqrt(variance + away @ covariance @ away))
    return np.array(found)


def test_terms_are_features_and_squares() -> None:
    found = terms(np.array([[1.0, 0.5, -1.0], [1.0, 0.25, 0.5]], dtype=np.float32))
    assert found.tolist() == [[1.0, 0.5, -1.0, 0.25, 1.0], [1.0, 0.25, 0.5, 0.0625, 0.25]]


@pytest.mark.parametrize("seed", range(3))
def test_departures_equal_those_by_hand(seed: int) -> None:
    days = [slots for _, slots in population(seed, users=20, tired=slowly)][:5]
    expected = ExpectedReward(features=3, genres=len(GENRES))
    found = [expected.take(slots).departure for slots in days]
    assert np.isnan(found[0]).all()
    for day in range(1, 5):
        np.testing.assert_allclose(found[day], departure_by_hand(days[:day], days[day]), rtol=1e-9)


def test_a_level_starts_anew_with_the_day_of_the_alarm() -> None:
    days = [slots for _, slots in population(4)]
    expected = ExpectedReward(features=3, genres=len(GENRES))
    for slots in days[:10]:
        expected.take(slots)
    expected.restart(np.array([False, False, True, False]))
    gap = expected.take(days[10]).gap
    z = np.concatenate([terms(slots.features) for slots in days[:10]])
    rewards = np.concatenate([slots.rewards for slots in days[:10]])
    theta = np.linalg.solve(z.T @ z + np.eye(5), z.T @ rewards)

    def drama(days: list[ShownSlots]) -> float:
        residual = np.concatenate([one.rewards - terms(one.features) @ theta for one in days])
        return float(np.average(residual, weights=np.concatenate([d.genres[:, 1] for d in days])))

    assert gap[2] == pytest.approx(drama(days[10:11]) - drama(days[9:10]), abs=1e-9)


@pytest.mark.parametrize("tired", [slowly, at_once])
def test_users_who_move_raise_no_alarm(tired: Shift) -> None:
    """Of 40 populations at most 4 sigma above 2 % for all items, and 2 % for the genres.

    Daily means without features do notice those whose users move at once, in all of 10.
    """
    runs = [drift_in(population(seed, tired=tired)) for seed in range(40)]
    alarmed = [{alarm.what == ALL_ITEMS for alarm in run.alarms} for run in runs]
    for everywhere in (True, False):
        share = np.mean([everywhere in one for one in alarmed])
        assert share <= 0.02 + 4.0 * np.sqrt(0.02 * 0.98 / 40)
    departures = np.concatenate([run.departure[np.isfinite(run.departure)] for run in runs])
    assert abs(departures.mean()) < 0.2
    assert 0.8 < departures.std() < 1.2
    if tired is slowly:
        return
    for seed in range(10):
        blind = [
            (day, ShownSlots(slots.units, slots.features[:, :1], slots.rewards, slots.genres))
            for day, slots in population(seed, tired=tired)
        ]
        assert ALL_ITEMS in {alarm.what for alarm in drift_in(blind).alarms}


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_users_who_respond_otherwise_raise_the_alarm(sign: float) -> None:
    """Though they move as well; all of 20 populations, within three days."""
    for seed in range(20):
        days = population(
            seed, tired=slowly, everywhere=lambda day: sign * 0.2 if day >= 20 else 0.0
        )
        found = [alarm.day for alarm in drift_in(days).alarms if alarm.what == ALL_ITEMS]
        assert found
        assert 20 <= found[0] <= 22


def test_a_genre_that_comes_into_fashion_is_named() -> None:
    """In all of 20 populations within three days; no other genre is named before it."""
    for seed in range(20):
        days = population(seed, tired=slowly, in_drama=lambda day: 0.4 if day >= 20 else 0.0)
        found = [alarm for alarm in drift_in(days).alarms if alarm.what != ALL_ITEMS]
        assert found[0].what == "Drama"
        assert 20 <= found[0].day <= 22


def test_days_without_slots_of_a_genre_say_nothing() -> None:
    days = population(1)
    for _, slots in days[::2]:
        slots.genres[:, 2] = 0.0
    expected = ExpectedReward(features=3, genres=len(GENRES))
    found = np.array([expected.take(slots).departure for _, slots in days])
    assert np.isnan(found[::2, 3]).all()
    assert np.isfinite(found[3::2, 3]).all()
    assert np.isfinite(found[1:, :3]).all()


def test_one_user_has_no_error_and_is_not_looked_at() -> None:
    (_, slots), *_ = population(1)
    expected = ExpectedReward(features=3, genres=len(GENRES))
    expected.take(slots)
    same = np.zeros(len(slots), dtype=np.uint64)
    alone = ShownSlots(same, slots.features, slots.rewards, slots.genres)
    assert np.isnan(expected.take(alone).departure).all()
