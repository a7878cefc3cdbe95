"""What all three forms of compiled rounds have in common."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from matinee_policies import rounds
from matinee_policies.arrays import AnyArray
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.rounds import (
    DisjointState,
    EpsilonDraws,
    Exploration,
    HybridState,
    Optimism,
    PosteriorDraws,
    Rounds,
    SharedState,
    play_disjoint,
    play_hybrid,
    play_shared,
)
from matinee_policies.rounds.reference import (
    play_disjoint_reference,
    play_hybrid_reference,
    play_shared_reference,
)

EXPLORATIONS = [
    Optimism(alpha=0.8),
    Optimism(alpha=0.0),
    EpsilonDraws(epsilon=0.6, decay_rounds=30, least=0.1),
    PosteriorDraws(scale=0.7),
    PosteriorDraws(scale=0.0),
]


@dataclass(frozen=True)
class Form:
    """One form of rounds and inputs made for it."""

    name: str
    play: Callable[..., tuple[Any, Rounds]]
    reference: Callable[..., tuple[Any, Rounds]]

    def prior(self, arms: int, d: int, **more: Any) -> Any:
        if self.name == "shared":
            return SharedState.prior(dimension=d, **more)
        if self.name == "disjoint":
            return DisjointState.prior(arms=arms, dimension=d, **more)
        return HybridState.prior(arms=arms, dimension=d, shared_dimension=d + 1, **more)

    def inputs(self, T: int, arms: int, d: int, *, seed: int = 0) -> list[AnyArray]:
        """Features and rewards; arm 1 pays less than it promises, so it is soon left alone."""
        rng = np.random.default_rng(seed)
        contexts = rng.normal(size=(T, d)).astype(np.float32)
        width = d + 1 if self.name == "hybrid" else d
        features = rng.normal(size=(T, arms, width)).astype(np.float32)
        rewards = features @ rng.normal(size=width) + contexts @ rng.normal(size=(d, arms))
        rewards += 0.1 * rng.normal(size=(T, arms))
        chosen = {
            "shared": [features],
            "disjoint": [contexts],
            "hybrid": [contexts, features],
        }[self.name]
        return [*chosen, rewards]


FORMS = [
    Form("disjoint", play_disjoint, play_disjoint_reference),
    Form("shared", play_shared, play_shared_reference),
    Form("hybrid", play_hybrid, play_hybrid_reference),
]


@pytest.fixture(params=FORMS, ids=lambda form: form.name)
def form(request: pytest.FixtureRequest) -> Form:
    chosen: Form = request.param
    return chosen


def assert_states_close(got: Any, expected: Any, *, tolerance: float) -> None:
    for field in dataclasses.fields(expected):
        np.testing.assert_allclose(
            getattr(got, field.name),
            getattr(expected, field.name),
            rtol=tolerance,
            atol=tolerance,
            err_msg=field.name,
        )


def assert_same_bits(got: Any, expected: Any) -> None:
    for field in dataclasses.fields(expected):
        np.testing.assert_array_equal(
            getattr(got, field.name), getattr(expected, field.name), err_msg=field.name
        )


@pytest.mark.parametrize("explore", EXPLORATIONS, ids=str)
@pytest.mark.parametrize(("arms", "d"), [(3, 4), (11, 17)])
def test_rounds_equal_their_readable_twin(
    form: Form, arms: int, d: int, explore: Exploration
) -> None:
    inputs = form.inputs(150, arms, d)
    prior = form.prior(arms, d, l2=0.7, refresh_every=20)
    state, played = form.play(prior, *inputs, explore, key=5)
    expected_state, expected = form.reference(prior, *inputs, explore, key=5)
    np.testing.assert_array_equal(played.actions, expected.actions)
    np.testing.assert_array_equal(played.rewards, expected.rewards)
    np.testing.assert_allclose(played.propensities, expected.propensities, rtol=1e-14)
    assert_states_close(state, expected_state, tolerance=1e-10)
    assert len(set(played.actions.tolist())) > 1


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("explore", EXPLORATIONS[::2], ids=str)
def test_pieces_give_the_same_bits(form: Form, precision: str, explore: Exploration) -> None:
    inputs = form.inputs(90, 5, 6)
    prior = form.prior(5, 6, refresh_every=8)
    more = {} if form.name == "hybrid" else {"precision": precision}
    whole_state, whole = form.play(prior, *inputs, explore, key=9, **more)
    state, parts = prior, []
    for start, stop in [(0, 0), (0, 1), (1, 40), (40, 41), (41, 90)]:
        piece = [array[start:stop] for array in inputs]
        state, part = form.play(state, *piece, explore, key=9, **more)
        parts.append(part)
    assert_same_bits(state, whole_state)
    for name in ("actions", "propensities", "rewards"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(whole, name))


def test_the_state_given_and_the_inputs_stay_as_they_are(form: Form) -> None:
    inputs = form.inputs(20, 4, 5)
    state, _ = form.play(form.prior(4, 5), *inputs, Optimism())
    before = [np.array(getattr(state, field.name)) for field in dataclasses.fields(state)]
    for array in inputs:
        array.flags.writeable = False
    form.play(state, *inputs, Optimism())
    for field, kept in zip(dataclasses.fields(state), before, strict=True):
        np.testing.assert_array_equal(getattr(state, field.name), kept)


def test_other_keys_draw_other_arms(form: Form) -> None:
    inputs = form.inputs(60, 6, 3)
    for explore in (EpsilonDraws(epsilon=1.0), PosteriorDraws(scale=1.0)):
        one, again, other = [
            form.play(form.prior(6, 3), *inputs, explore, key=key)[1].actions for key in (1, 1, 2)
        ]
        np.testing.assert_array_equal(one, again)
        assert (one != other).any()


@pytest.mark.parametrize("d", [3, 20, 64])
@pytest.mark.parametrize("form", FORMS[:2], ids=lambda form: form.name)
def test_single_precision_stays_with_double(form: Form, d: int) -> None:
    """Widths in float32 change an upper bound by far less than what tells the arms apart here."""
    inputs = form.inputs(400, 7, d)
    prior = form.prior(7, d)
    _, double = form.play(prior, *inputs, Optimism(alpha=0.5))
    state, single = form.play(prior, *inputs, Optimism(alpha=0.5), precision="float32")
    # Until the first near tie, both play the same arms; states of the same arms are the same.
    assert (double.actions == single.actions).mean() > 0.9
    for field in dataclasses.fields(state):
        assert np.isfinite(getattr(state, field.name)).all()


def test_epsilon_frequencies_are_the_propensities(form: Form) -> None:
    """Chi-square of plays against the sum of propensities; by turns, since states move."""
    T, arms = 4000, 5
    inputs = form.inputs(T, arms, 3)
    explore = EpsilonDraws(epsilon=0.5, decay_rounds=500, least=0.2)
    _, played = form.play(form.prior(arms, 3), *inputs, explore, key=3)
    epsilon = np.maximum(0.2, 0.5 / (1.0 + np.arange(T) / 500))
    greedy = played.propensities > 0.5
    expected = epsilon / arms + (1.0 - epsilon) * greedy
    np.testing.assert_allclose(played.propensities, expected, rtol=1e-14)
    uniform = epsilon * (1.0 - 1.0 / arms)
    error = abs((~greedy).sum() - uniform.sum())
    assert error < 4.0 * math.sqrt((uniform * (1.0 - uniform)).sum())
    # A uniform draw falls on each arm alike.
    _, free = form.play(form.prior(arms, 3), *inputs, EpsilonDraws(epsilon=1.0), key=4)
    counts = np.bincount(free.actions, minlength=arms)
    np.testing.assert_allclose(free.propensities, 1.0 / arms)
    assert (abs(counts - T / arms) < 4.0 * math.sqrt(T / arms * (1.0 - 1.0 / arms))).all()


def test_the_law_of_thompson_draws_is_not_claimed(form: Form) -> None:
    inputs = form.inputs(10, 3, 2)
    _, played = form.play(form.prior(3, 2), *inputs, PosteriorDraws())
    assert np.isnan(played.propensities).all()


def test_an_arm_never_played_keeps_its_prior() -> None:
    contexts = np.ones((5, 2), dtype=np.float32)
    rewards = np.tile([1.0, 0.0, 0.0], (5, 1))
    prior = DisjointState.prior(arms=3, dimension=2, l2=4.0)
    state, played = play_disjoint(prior, contexts, rewards, Optimism(alpha=0.0))
    assert played.actions.tolist() == [0] * 5
    assert state.counts.tolist() == [5, 0, 0]
    np.testing.assert_array_equal(state.inverse[1:], prior.inverse[1:])
    assert not state.theta[1:].any()


def test_no_rounds_leave_the_prior(form: Form) -> None:
    prior = form.prior(3, 2)
    inputs = [array[:0] for array in form.inputs(1, 3, 2)]
    state, played = form.play(prior, *inputs, Optimism())
    assert_same_bits(state, prior)
    assert played.actions.shape == played.propensities.shape == played.rewards.shape == (0,)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_with_their_place(form: Form, bad: float) -> None:
    names = {
        "disjoint": ["contexts", "rewards"],
        "shared": ["features", "rewards"],
        "hybrid": ["contexts", "features", "rewards"],
    }[form.name]
    for which, name in enumerate(names):
        inputs = form.inputs(6, 3, 2)
        place = tuple(size - 1 for size in inputs[which].shape)
        inputs[which][place] = bad
        with pytest.raises(ContextError, match=f"{name} must be finite, got {bad} at") as caught:
            form.play(form.prior(3, 2), *inputs, Optimism())
        assert str(place) in str(caught.value)


def test_inputs_of_other_shapes_and_types_are_refused(form: Form) -> None:
    for which in range(len(form.inputs(1, 3, 2))):
        inputs = form.inputs(6, 3, 2)
        for wrong in (inputs[which][..., :-1], inputs[which][0], inputs[which].astype(np.int64)):
            changed = [*inputs]
            changed[which] = wrong
            with pytest.raises(ContextError, match="must"):
                form.play(form.prior(3, 2), *changed, Optimism())
    if form.name == "hybrid":
        return
    with pytest.raises(ConfigError, match="precision must be 'float64' or 'float32'"):
        form.play(form.prior(3, 2), *form.inputs(6, 3, 2), Optimism(), precision="float16")


def test_features_whose_sums_overflow_are_refused(form: Form) -> None:
    inputs = [*form.inputs(6, 3, 2)[:-1], np.full((6, 3), 1e308)]
    for array in inputs[:-1]:
        array[:] = 1e30
    with pytest.raises(ContextError, match="features and rewards must be of moderate size"):
        form.play(form.prior(3, 2, refresh_every=1), *inputs, Optimism())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Optimism(alpha=-1.0), "alpha must be >= 0, got -1.0"),
        (lambda: EpsilonDraws(epsilon=1.5), "epsilon"),
        (lambda: EpsilonDraws(epsilon=0.1, least=0.2), "least"),
        (lambda: EpsilonDraws(decay_rounds=0.0), "decay_rounds must be > 0, got 0.0"),
        (lambda: PosteriorDraws(scale=math.nan), "scale"),
        (lambda: DisjointState.prior(arms=0, dimension=1), "arms"),
        (lambda: SharedState.prior(dimension=0), "dimension"),
        (lambda: SharedState.prior(dimension=1, l2=0.0), "l2 must be > 0, got 0.0"),
        (lambda: SharedState.prior(dimension=1, refresh_every=-1), "refresh_every"),
        (lambda: HybridState.prior(arms=1, dimension=1, shared_dimension=0), "shared_dimension"),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_the_front_door_is_sorted_and_complete() -> None:
    assert rounds.__all__ == sorted(rounds.__all__)
    assert all(hasattr(rounds, name) for name in rounds.__all__)
