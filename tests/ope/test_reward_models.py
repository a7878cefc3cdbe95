"""Reward models against closed forms per fold, another optimiser, and the formula by hand."""

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import optimize

from matinee_platform.ope.examples import Examples, ExampleStream, fold_of
from matinee_platform.ope.interval import RewardRange
from matinee_platform.ope.logistic_model import LogisticModel
from matinee_platform.ope.regression import MODEL_KINDS, fit_reward_model
from matinee_platform.ope.ridge_model import RidgeModel
from matinee_policies.errors import ConfigError, ContextError

FOLDS, D, SLOTS = 3, 4, 2


def made(n: int = 1_500, seed: int = 1) -> Examples:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, D))
    slots = rng.integers(0, SLOTS, n)
    items = rng.integers(-1, 6, n)
    chance = 1 / (1 + np.exp(1.0 + 0.7 * slots - features @ [0.5, -0.4, 0.2, 0.0]))
    return Examples(
        unit=rng.integers(0, 200, n).astype(np.uint64),
        rewards=(rng.random(n) < chance).astype(np.float64),
        slots=slots,
        items=items,
        features=features,
    )


def parts(examples: Examples, size: int) -> ExampleStream:
    def read() -> Iterator[Examples]:
        for start in range(0, len(examples), size):
            here = slice(start, start + size)
            yield Examples(
                examples.unit[here],
                examples.rewards[here],
                examples.slots[here],
                examples.items[here],
                examples.features[here],
            )

    return read


def rows(examples: Examples, *, model: int, slot: int) -> np.ndarray:
    """What the model of a fold may see at a slot."""
    found: np.ndarray = (fold_of(examples.unit, FOLDS) != model) & (examples.slots == slot)
    return found


def test_ridge_is_the_closed_form_on_the_other_folds() -> None:
    log = made()
    model = fit_reward_model("ridge", parts(log, 97), folds=FOLDS, l2=2.0)
    assert isinstance(model, RidgeModel)
    prior = np.diag([1e-6, 2.0, 2.0, 2.0, 2.0])
    for fold in range(FOLDS):
        for slot in range(SLOTS):
            here = rows(log, model=fold, slot=slot)
            z = np.c_[np.ones(here.sum()), log.features[here]]
            wanted = np.linalg.solve(z.T @ z + prior, z.T @ log.rewards[here])
            np.testing.assert_allclose(model.theta[fold, slot], wanted, rtol=1e-9, atol=1e-12)


def test_logistic_is_the_optimum_on_the_other_folds() -> None:
    log = made()
    model = fit_reward_model("logistic", parts(log, 400), folds=FOLDS, l2=2.0)
    assert isinstance(model, LogisticModel)
    assert model.converged
    assert model.passes <= 8
    weights = np.array([1e-6, 2.0, 2.0, 2.0, 2.0])
    for fold in range(FOLDS):
        for slot in range(SLOTS):
            here = rows(log, model=fold, slot=slot)
            z = np.c_[np.ones(here.sum()), log.features[here]]
            sign = 2 * log.rewards[here] - 1

            def loss(theta: np.ndarray, z: np.ndarray = z, sign: np.ndarray = sign) -> float:
                fit = np.logaddexp(0, -sign * (z @ theta)).sum()
                return float(fit + 0.5 * weights @ theta**2)

            found = optimize.minimize(loss, np.zeros(D + 1), tol=1e-12)
            np.testing.assert_allclose(model.theta[fold, slot], found.x, atol=1e-4)
            assert loss(model.theta[fold, slot]) <= found.fun + 1e-9


def test_logistic_ends_where_the_likelihood_has_no_top() -> None:
    """Features that tell rewards apart without fault: only the prior holds coefficients."""
    log = made()
    sure = Examples(
        log.unit,
        np.where(log.features[:, 0] > 0, 1.0, 0.0),
        log.slots,
        log.items,
        50 * log.features,
    )
    model = fit_reward_model("logistic", parts(sure, 300), folds=FOLDS, l2=1e-6)
    assert isinstance(model, LogisticModel)
    assert np.isfinite(model.theta).all()
    assert model.passes == 15
    assert not model.converged
    predicted = model.predict(sure.unit, slots=sure.slots, items=sure.items, features=sure.features)
    assert np.abs(predicted - sure.rewards).mean() < 0.02


@pytest.mark.parametrize("by_slot", [False, True])
def test_empirical_is_the_formula(by_slot: bool) -> None:
    log = made()
    model = fit_reward_model("empirical", parts(log, 100), folds=FOLDS, by_slot=by_slot)
    predicted = model.predict(log.unit, slots=log.slots, items=log.items, features=log.features)
    fold = fold_of(log.unit, FOLDS)
    for row in range(0, len(log), 50):
        others = fold != fold[row]
        if by_slot:
            others &= log.slots == log.slots[row]
        ctr = log.rewards[others].mean()
        own = others & (log.items == log.items[row])
        wanted = (log.rewards[own].sum() + 100 * ctr) / (own.sum() + 100)
        assert predicted[row] == pytest.approx(wanted if log.items[row] >= 0 else ctr, rel=1e-12)
    strange = model.predict(log.unit[:1], slots=0, items=np.array([99]), features=log.features[:1])
    plain = model.predict(log.unit[:1], slots=0, items=np.array([-1]), features=log.features[:1])
    assert strange == plain


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_a_units_rewards_do_not_reach_its_own_predictions(kind: str) -> None:
    log = made()
    fold = fold_of(log.unit, FOLDS)
    rewards = np.where(fold == 1, 1.0 - log.rewards, log.rewards)
    other = Examples(log.unit, rewards, log.slots, log.items, log.features)
    found = [
        fit_reward_model(kind, parts(one, 500), folds=FOLDS).predict(
            log.unit, slots=log.slots, items=log.items, features=log.features
        )
        for one in (log, other)
    ]
    assert (found[0][fold == 1] == found[1][fold == 1]).all()
    assert (found[0][fold != 1] != found[1][fold != 1]).all()


@pytest.mark.parametrize("kind", MODEL_KINDS)
def test_candidates_are_predicted_as_single_items(kind: str) -> None:
    log = made(n=600)
    model = fit_reward_model(kind, parts(log, 600), folds=FOLDS, rewards=RewardRange(0, 1))
    items = np.arange(4 * 3).reshape(4, 3) % 7 - 1
    features = np.random.default_rng(2).normal(size=(4, 3, D))
    whole = model.predict(log.unit[:4], slots=1, items=items, features=features)
    assert whole.shape == (4, 3)
    for k in range(3):
        again = model.predict(log.unit[:4], slots=1, items=items[:, k], features=features[:, k])
        np.testing.assert_allclose(whole[:, k], again, rtol=1e-12, atol=1e-15)
        single = model.predict(
            log.unit[:4], slots=np.ones(4, dtype=np.int64), items=items[:, k],
            features=features[:, k],
        )  # fmt: skip
        np.testing.assert_allclose(whole[:, k], single, rtol=1e-12, atol=1e-15)
    assert (whole >= 0).all()
    assert (whole <= 1).all()


def test_predictions_keep_to_the_range_of_rewards() -> None:
    log = made(n=300)
    far = 100 * log.features[:5]
    for kind in ("ridge", "logistic"):
        model = fit_reward_model(kind, parts(log, 50), rewards=RewardRange(-0.5, 1.0))
        found = model.predict(log.unit[:5], slots=0, items=log.items[:5], features=far)
        assert ((found >= -0.5) & (found <= 1.0)).all()


def test_what_is_refused() -> None:
    log = made(n=50)
    with pytest.raises(ConfigError, match="reward model must be one of ridge"):
        fit_reward_model("forest", parts(log, 50))
    with pytest.raises(ConfigError, match="folds"):
        fit_reward_model("ridge", parts(log, 50), folds=1)
    for kind in MODEL_KINDS:
        with pytest.raises(ContextError, match="at least one shown item"):
            fit_reward_model(kind, lambda: iter(()))
    with pytest.raises(ContextError, match="rewards must be finite, got nan"):
        Examples(log.unit, log.rewards * np.nan, log.slots, log.items, log.features)
    over = Examples(log.unit, log.rewards * 0 + 3, log.slots, log.items, log.features)
    with pytest.raises(ContextError, match="rewards must be within 0 and 1, got 3"):
        fit_reward_model("logistic", parts(over, 50))
    narrow = Examples(log.unit, log.rewards, log.slots, log.items, log.features[:, :2])
    for kind in ("ridge", "logistic"):
        with pytest.raises(ContextError, match="4 columns throughout, got 2"):
            fit_reward_model(kind, lambda: iter([log, narrow]))
