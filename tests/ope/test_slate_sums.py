"""Forms of a slate's value against their definitions, and against the truth by enumeration."""

import itertools

import numpy as np
import pytest

from matinee_platform.ope.records import LoggedBatch
from matinee_platform.ope.slate_sums import SLATE_FORMS, SlateSums
from matinee_platform.ope.testing_logs import make_log, mean_and_error, parts_of


def test_every_form_is_its_definition() -> None:
    log = make_log(1, n=500, slots=3, units=100)
    assert log.predicted is not None
    assert log.expected is not None
    sums = SlateSums()
    for part in parts_of(log, [100, 3]):
        sums.add(part)
    ours = {e.name: e for e in sums.estimates()}
    assert set(ours) == set(SLATE_FORMS.values())
    w, r = log.target / log.logged, log.rewards
    down = np.cumprod(w, axis=1)
    above = np.concatenate([np.ones((500, 1)), down[:, :-1]], axis=1)
    whole = down[:, -1]
    terms = {
        "standard": whole * r.sum(axis=1),
        "iips": (w * r).sum(axis=1),
        "rips": (down * r).sum(axis=1),
        "cascade_dr": (down * (r - log.predicted) + above * log.expected).sum(axis=1),
    }
    for name, term in terms.items():
        value, error = mean_and_error(term)
        assert ours[name].value == pytest.approx(value, rel=1e-9)
        assert ours[name].standard_error == pytest.approx(error, rel=1e-9)
        assert ours[name].unit_error is not None
    normal = {
        "sn_standard": whole @ r.sum(axis=1) / whole.sum(),
        "sn_iips": ((w * r).sum(axis=0) / w.sum(axis=0)).sum(),
        "sn_rips": ((down * r).sum(axis=0) / down.sum(axis=0)).sum(),
    }
    for name, value in normal.items():
        assert ours[name].value == pytest.approx(value, rel=1e-9)
    without = SlateSums(buckets="none")
    without.add(make_log(1, model=False))
    assert {e.name for e in without.estimates()} == {
        name for name in SLATE_FORMS.values() if not name.endswith("cascade_dr")
    }
    assert all(e.unit_error is None for e in without.estimates())


def law(weights: "np.ndarray", slate: tuple[int, ...]) -> list[float]:
    """Probabilities of the slots of a slate drawn without replacement."""
    left, chances = weights.astype(float).copy(), []
    for item in slate:
        chances.append(float(left[item] / left.sum()))
        left[item] = 0.0
    return chances


def test_expectations_are_the_truth_where_they_should_be() -> None:
    """Each slate enters in proportion to its probability, so that means are expectations.

    A reward depends on the item, and is lower below item 0: on items above, never below.
    """
    logging, target = np.array([1.0, 2.0, 1.0]), np.array([5.0, 1.0, 2.0])
    quality = np.array([0.9, 0.5, 0.2])
    slates = list(itertools.permutations(range(3), 2))
    rewards = [[quality[a], quality[b] * (0.3 if a == 0 else 1.0)] for a, b in slates]
    logged = np.array([law(logging, slate) for slate in slates])
    aimed = np.array([law(target, slate) for slate in slates])
    times = np.round(logged.prod(axis=1) * 12 * 25).astype(int)
    np.testing.assert_allclose(times / times.sum(), logged.prod(axis=1), atol=1e-12)
    rows = np.repeat(np.arange(len(slates)), times)
    q = np.array([[0.4, 0.1, 0.7], [0.2, 0.6, 0.3]])
    predicted = np.array([[q[0, a], q[1, b]] for a, b in slates])
    second = []
    for a, _ in slates:
        left = target.copy()
        left[a] = 0.0
        second.append(left @ q[1] / left.sum())
    expected = np.stack([np.full(len(slates), target @ q[0] / target.sum()), second], axis=1)
    log = LoggedBatch(
        np.arange(rows.size, dtype=np.uint64),
        np.arange(rows.size),
        rewards=np.array(rewards)[rows],
        logged=logged[rows],
        target=aimed[rows],
        unreachable=0 * aimed[rows],
        predicted=predicted[rows],
        expected=expected[rows],
    )
    truth = float((aimed.prod(axis=1)[:, None] * rewards).sum())
    sums = SlateSums(buckets="none")
    sums.add(log)
    for estimate in sums.estimates():
        exact = not estimate.name.endswith("iips")
        assert (estimate.value == pytest.approx(truth, rel=1e-9)) is exact, estimate.name
        assert estimate.mean_weight == pytest.approx(1.0, rel=1e-9), estimate.name
