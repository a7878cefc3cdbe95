"""Propensities that no draw would ever have had: refused in words, never by a warning of numpy."""

import numpy as np
import pytest

from matinee_platform.ope import evaluate_stream
from matinee_platform.ope.evaluation import Evaluation
from matinee_platform.ope.records import LoggedBatch
from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ContextError

KINDS = ("default", "cressie_read", "empirical_bernstein", "bootstrap", "anytime")


def told(logged: FloatArray) -> Evaluation:
    n = len(logged)
    batch = LoggedBatch(
        unit=np.arange(n, dtype=np.uint64),
        time=np.arange(n),
        rewards=(np.arange(logged.size).reshape(logged.shape) % 3 == 0) * 1.0,
        logged=logged,
        target=np.full(logged.shape, 0.5),
        unreachable=np.zeros(logged.shape),
    )
    return evaluate_stream(lambda: iter([batch]), intervals=KINDS, replicates=100)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("tiny", [1e-200, 5e-324])
def test_a_weight_beyond_double_precision_is_named(tiny: float, slots: int) -> None:
    logged = np.full((500, slots), 0.5)
    logged[7, -1] = tiny
    with pytest.raises(ContextError, match=r"logged probability of .* is too small"):
        told(logged)


@pytest.mark.parametrize("slots", [1, 3])
def test_a_weight_within_it_is_refused_for_what_it_leaves(slots: int) -> None:
    """Also where weights of a whole page overflow, which good logs of long pages may have."""
    logged = np.full((500, slots), 0.5)
    logged[7] = 1e-90
    found = told(logged)
    assert found.headline.value is None
    assert "effective sample size" in {one.rule for one in found.verdict.refused}
