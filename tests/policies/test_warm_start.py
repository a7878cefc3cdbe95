"""A new policy that starts from evidence of another, or from a prior mean: normal equations."""

from typing import Any

import numpy as np
import pytest

from matinee_policies import ConfigError, OutcomeBatch, Policy, SnapshotError
from matinee_policies.registry import build_policy, restore_policy
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_origin import with_origin, without_origin
from matinee_policies.testing_data import example_contexts, example_keys, example_outcomes
from matinee_policies.warm_start import inherit, with_prior_mean

D = 4
RIDGE = ("epsilon_greedy", "lin_ucb", "thompson", "square_cb", "linear_softmax")
FORGETTING = ("discounted_lin_ucb", "sliding_window_lin_ucb")


def new(kind: str, **settings: Any) -> Policy:
    return build_policy(kind, settings, dimension=D)


def taught(policy: Policy, seed: int = 1) -> Policy:
    policy.learn(example_outcomes(seed, slates=150, dimension=D))
    policy.learn(example_outcomes(seed, slates=150, dimension=D, first=False))
    return policy


def equations(outcomes: OutcomeBatch) -> tuple[np.ndarray, np.ndarray]:
    X = outcomes.features[outcomes.shown].astype(float)
    return X.T @ X, X.T @ outcomes.rewards[outcomes.shown]


def evidence(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    gram, first = equations(example_outcomes(seed, slates=150, dimension=D))
    _, later = equations(example_outcomes(seed, slates=150, dimension=D, first=False))
    return gram, first + later


def slates(policy: Policy) -> tuple[np.ndarray, np.ndarray]:
    contexts = example_contexts(3, decisions=40, candidates=9, dimension=D)
    found = policy.decide(contexts, slots=4, keys=example_keys(40))
    return found.positions, found.propensities


@pytest.mark.parametrize("kind", RIDGE)
def test_all_of_the_evidence_goes_on_as_the_donor_would(kind: str) -> None:
    donor = taught(new(kind))
    heir = restore_policy(inherit(new(kind), donor.snapshot()))
    more = example_outcomes(9, slates=60, dimension=D)
    for _ in range(2):
        for mine, theirs in zip(slates(heir), slates(donor), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        heir.learn(more)
        donor.learn(more)


@pytest.mark.parametrize("kind", RIDGE)
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_share_of_the_evidence_is_that_share_of_the_normal_equations(
    kind: str, share: float
) -> None:
    donor = taught(new(kind, l2=3.0))
    heir: Any = restore_policy(inherit(new(kind, l2=0.5), donor.snapshot(), discount=share))
    gram, moment = evidence()
    more_gram, more_moment = equations(example_outcomes(9, slates=60, dimension=D))
    A, b = 0.5 * np.eye(D) + share * gram, share * moment
    np.testing.assert_allclose(heir.theta, np.linalg.solve(A, b), rtol=1e-10)
    heir.learn(example_outcomes(9, slates=60, dimension=D))
    np.testing.assert_allclose(
        heir.theta, np.linalg.solve(A + more_gram, b + more_moment), rtol=1e-10
    )
    assert heir.rows == round(share * donor.snapshot().manifest["rows"]) + int(
        example_outcomes(9, slates=60, dimension=D).shown.sum()
    )


@pytest.mark.parametrize("form", ["disjoint", "hybrid"])
def test_items_take_over_a_share_of_their_own_sums(form: str) -> None:
    donor: Any = taught(new("lin_ucb", form=form, l2=2.0))
    heir: Any = restore_policy(
        inherit(new("lin_ucb", form=form, l2=2.0), donor.snapshot(), discount=0.25)
    )
    # A quarter of the sums about a prior of 2 has the solution of all of them about one of 8.
    same: Any = restore_policy(inherit(new("lin_ucb", form=form, l2=8.0), donor.snapshot()))
    items = np.arange(40, dtype=np.int32)
    np.testing.assert_allclose(heir.theta, same.theta, rtol=1e-9)
    np.testing.assert_allclose(heir.item_theta(items), same.item_theta(items), rtol=1e-9)
    assert np.abs(heir.item_theta(items)).max() > 0


@pytest.mark.parametrize("kind", FORGETTING)
def test_days_of_another_run_become_day_zero(kind: str) -> None:
    settings = {"half_life_days": 3.0} if kind == "discounted_lin_ucb" else {"window_days": 5}
    donor: Any = taught(new(kind, **settings))
    heir: Any = restore_policy(inherit(new(kind, **settings), donor.snapshot()))
    np.testing.assert_allclose(heir.theta, donor.theta, rtol=1e-10)
    for mine, theirs in zip(slates(heir), slates(donor), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9)
    more = example_outcomes(9, slates=15, dimension=D)  # all of day 0
    heir.learn(more)
    weight = _weights(kind, example_outcomes(1, slates=150, dimension=D))
    A, b = np.eye(D), np.zeros(D)
    for first in (True, False):
        rows = example_outcomes(1, slates=150, dimension=D, first=first)
        X = rows.features[rows.shown].astype(float)
        w = np.broadcast_to(weight[:, None], rows.shown.shape)[rows.shown]
        A += first * (X * w[:, None]).T @ X
        b += X.T @ (w * rows.rewards[rows.shown])
    gram, moment = equations(more)
    np.testing.assert_allclose(heir.theta, np.linalg.solve(A + gram, b + moment), rtol=1e-9)


def _weights(kind: str, outcomes: OutcomeBatch) -> np.ndarray:
    assert outcomes.days is not None
    age: np.ndarray = outcomes.days.max() - outcomes.days
    return np.asarray(2.0 ** (-age / 3.0) if kind == "discounted_lin_ucb" else age < 5, dtype=float)


def test_fewer_rows_have_wider_bounds() -> None:
    for kind in ("lin_ucb", *FORGETTING):
        donor = taught(new(kind, alpha=1.0)).snapshot()
        contexts = example_contexts(3, decisions=5, candidates=9, dimension=D)
        widths = []
        for share in (1.0, 0.05):
            bold: Any = restore_policy(inherit(new(kind, alpha=1.0), donor, discount=share))
            calm: Any = restore_policy(inherit(new(kind, alpha=0.0), donor, discount=share))
            widths.append(bold.values(contexts) - calm.values(contexts))
        assert (widths[1] > 2.0 * widths[0]).all()


@pytest.mark.parametrize("kind", [*RIDGE, *FORGETTING])
@pytest.mark.parametrize("strength", [0.0, 40.0])
def test_a_prior_mean_is_that_of_ridge_regression_about_it(kind: str, strength: float) -> None:
    mean = np.array([0.0, 0.3, -0.1, 0.0])
    policy: Any = restore_policy(with_prior_mean(new(kind, l2=2.0), mean, strength=strength))
    np.testing.assert_allclose(policy.theta, mean, rtol=1e-12, atol=1e-15)
    outcomes = example_outcomes(5, slates=18, dimension=D)  # all of day 0
    policy.learn(outcomes)
    gram, moment = equations(outcomes)
    weight = 2.0 + strength
    expected = np.linalg.solve(weight * np.eye(D) + gram, moment + weight * mean)
    np.testing.assert_allclose(policy.theta, expected, rtol=1e-10)


def test_a_prior_mean_of_the_hybrid_is_that_of_its_common_part() -> None:
    mean = np.array([0.0, 0.3, -0.1, 0.0])
    policy: Any = restore_policy(with_prior_mean(new("lin_ucb", form="hybrid"), mean))
    np.testing.assert_allclose(policy.theta, mean, rtol=1e-12)
    assert not policy.item_theta(np.arange(5, dtype=np.int32)).any()


def test_other_kinds_start_from_a_state_of_the_same_settings_only() -> None:
    donor = taught(new("logistic", l2=2.0)).snapshot()
    heir = restore_policy(inherit(new("logistic", l2=2.0), donor))
    assert heir.snapshot().content_hash == donor.content_hash
    with pytest.raises(SnapshotError, match="must have the settings"):
        inherit(new("logistic", l2=1.0), donor)
    with pytest.raises(ConfigError, match=r"discount must be 1 for logistic.*got 0\.5"):
        inherit(new("logistic", l2=2.0), donor, discount=0.5)


@pytest.mark.parametrize(
    ("policy", "donor", "message"),
    [
        (new("lin_ucb"), new("epsilon_greedy"), "must be of kind 'lin_ucb', got 'epsilon_greedy'"),
        (new("lin_ucb"), build_policy("lin_ucb", {}, dimension=5), "dimension 4, got 5"),
        (new("lin_ucb"), new("lin_ucb", form="disjoint"), "form shared, got disjoint"),
        (
            new("lin_ucb", form="hybrid"),
            new("lin_ucb", form="hybrid", item_features=[0]),
            r"item_features \[\], got \[0\]",
        ),
    ],
)
def test_a_donor_of_another_shape_is_refused(policy: Policy, donor: Policy, message: str) -> None:
    with pytest.raises(SnapshotError, match=message):
        inherit(policy, donor.snapshot())


@pytest.mark.parametrize("discount", [0.0, 1.1, np.nan])
def test_a_share_out_of_range_is_refused(discount: float) -> None:
    with pytest.raises(ConfigError, match="discount must be"):
        inherit(new("lin_ucb"), new("lin_ucb").snapshot(), discount=discount)


def test_what_has_no_evidence_or_no_common_coefficients_is_refused() -> None:
    with pytest.raises(ConfigError, match="score_order learns nothing"):
        inherit(new("score_order"), new("score_order").snapshot())
    for policy in (new("lin_ucb", form="disjoint"), new("logistic")):
        with pytest.raises(ConfigError, match="coefficients that all candidates share"):
            with_prior_mean(policy, np.zeros(D))
    with pytest.raises(ConfigError, match="mean must be 4 finite numbers"):
        with_prior_mean(new("lin_ucb"), np.zeros(3))


def test_sums_that_no_rows_give_are_refused() -> None:
    donor = taught(new("lin_ucb")).snapshot()
    wrong = Snapshot(
        donor.kind, donor.version, {**donor.arrays, "gram": -donor.arrays["gram"]}, donor.manifest
    )
    with pytest.raises(SnapshotError):
        inherit(new("lin_ucb"), wrong)


@pytest.mark.parametrize("kind", ["lin_ucb", "vowpal_wabbit", "mixture"])
def test_a_note_of_the_origin_is_no_part_of_the_state(kind: str) -> None:
    bases = [{"kind": "lin_ucb", "weight": 0.5}, {"kind": "uniform", "weight": 0.5}]
    policy = taught(new(kind, **({"bases": bases} if kind == "mixture" else {})))
    plain = policy.snapshot()
    noted = with_origin(plain, {"kind": "log"})
    assert noted.content_hash != plain.content_hash
    assert without_origin(noted).content_hash == plain.content_hash
    settings = {"kind": kind, "bases": bases}
    assert restore_policy(noted, config=settings).snapshot().content_hash == plain.content_hash
