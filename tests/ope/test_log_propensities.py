"""Estimated probabilities against counts, closed forms and the law that made a log."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from statsmodels.discrete.discrete_model import MNLogit  # type: ignore[import-untyped]

from matinee_platform.ope.inputs.action_log import ActionLog
from matinee_platform.ope.inputs.propensities import with_propensities
from matinee_platform.ope.inputs.table import table_log
from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ConfigError

N, K = 6_000, 4
COLUMNS = {"action": "item", "reward": "reward", "position": "position", "context": "x,word"}


def made_up_log() -> tuple[ActionLog, pd.DataFrame, FloatArray]:
    """A log of a softmax law of context and position, its table, and the law of each row."""
    rng = np.random.default_rng(1)
    x, word = rng.normal(2.0, 3.0, N), rng.integers(0, 2, N)
    position = rng.integers(0, 2, N)
    theta = rng.normal(size=(4, K))
    z = x[:, None] / 3 * theta[0] + word[:, None] * theta[1] + theta[2 + position]
    law = softmax(z, axis=1)
    item = (rng.random((N, 1)) > np.cumsum(law, axis=1)).sum(axis=1)
    table = pd.DataFrame(
        {
            "item": [f"item {k}" for k in item],
            "reward": 1.0,
            "position": position + 1,
            "x": x,
            "word": np.where(word, "yes", "no"),
        }
    )
    return table_log(table, COLUMNS, propensities="uniform"), table, law


def logged(log: ActionLog) -> FloatArray:
    return np.concatenate([batch.logged for batch in log.stream()])


def test_uniform_probabilities() -> None:
    log, _, _ = made_up_log()
    np.testing.assert_array_equal(logged(log), np.full((N, 1), 1 / K))
    assert log.flags[0].startswith("the log has no propensities: they are estimated (uniform)")


def test_uniform_probabilities_of_pages_without_repeats() -> None:
    pages = pd.DataFrame({"a": ["x", "y"], "b": ["y", None], "r": 0.0, "s": 0.0})
    log = table_log(
        pages,
        {"action": "a,b", "reward": "r,s"},
        propensities="uniform",
        items=["x", "y", "z"],
        distinct=True,
    )
    assert logged(log).tolist() == [[1 / 3, 1 / 2], [1 / 3, 1.0]]


def test_empirical_probabilities_are_shares_of_the_position() -> None:
    log, table, _ = made_up_log()
    found = logged(with_propensities(log, "empirical"))[:, 0]
    share = table.groupby("position")["item"].value_counts(normalize=True)
    wanted = [share[p, i] for p, i in zip(table["position"], table["item"], strict=True)]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_logistic_probabilities_are_near_the_law_that_made_the_log() -> None:
    log, table, law = made_up_log()
    estimated = with_propensities(log, "logistic")
    assert estimated.propensities == "logistic"
    found = logged(estimated)[:, 0]
    item = table["item"].str.removeprefix("item ").astype(int).to_numpy()
    truth = law[np.arange(N), item]
    # A dozen free coefficients of 6,000 rows: errors of about sqrt(12 / 6,000) = 0.045 in logits.
    assert np.sqrt(np.mean((np.log(found) - np.log(truth)) ** 2)) < 4 * 0.045
    blind = logged(with_propensities(log, "empirical"))[:, 0]
    assert np.log(found).sum() > np.log(blind).sum() + 100


def test_logistic_probabilities_are_those_of_statsmodels() -> None:
    log, table, _ = made_up_log()
    found = logged(with_propensities(log, "logistic"))[:, 0]
    first = (table["position"] == 1).to_numpy(float)
    columns = [first, 1 - first, table["x"].to_numpy(), (table["word"] == "yes").to_numpy(float)]
    item = table["item"].str.removeprefix("item ").astype(int).to_numpy()
    x = np.stack(columns, axis=1)
    peer = np.asarray(MNLogit(item, x).fit(disp=False).predict(x))[np.arange(N), item]
    # The penalty of ours moves coefficients by about L2 / N of their information.
    np.testing.assert_allclose(found, peer, atol=2e-3)


def test_what_cannot_be_estimated_is_refused() -> None:
    log, _, _ = made_up_log()
    with pytest.raises(ConfigError, match="need columns of context"):
        with_propensities(replace(log, contexts=()), "logistic")
    with pytest.raises(ConfigError, match="must be by one of"):
        with_propensities(log, "guess")  # type: ignore[arg-type]
