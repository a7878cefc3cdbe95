"""Looks at few units: an arm of a metric is judged once enough of its own units count."""

import math

import numpy as np
import pytest

from matinee_platform.analysis.experiment.effects import compare_arms
from matinee_platform.analysis.inference.confidence_sequence import Tuning
from matinee_platform.analysis.inference.moments import Moments, cumulative
from matinee_platform.analysis.inference.non_inferiority import Verdict

TUNING = Tuning(10_000.0)


@pytest.mark.parametrize("ended", [False, True])
def test_two_units_that_agree_prove_nothing(ended: bool) -> None:
    few = Moments.of(np.ones(2)), Moments.of(np.zeros(2))
    for fewest in (2, 100):
        found = compare_arms(
            few, at_end=few if ended else None, tuning=TUNING, ratio=False, fewest=fewest
        )
        assert math.isnan(found.p_value)
        assert math.isnan(found.judged.shown.low)
        assert found.judged.shown.reason
    assert found.judged.shown.reason == "treatment has 2 units, an interval needs 100"


@pytest.mark.parametrize("ended", [False, True])
def test_a_guardrail_of_few_units_stays_open(ended: bool) -> None:
    rng = np.random.default_rng(3)
    pair = Moments.of(rng.normal(1.0, 0.1, 99)), Moments.of(rng.normal(5.0, 0.1, 500))
    verdicts, reason = [], ""
    for fewest in (99, 100):
        found = compare_arms(
            pair,
            at_end=pair if ended else None,
            tuning=TUNING,
            ratio=False,
            fewest=fewest,
            margin=0.05,
        )
        assert found.guardrail is not None
        verdicts.append(found.guardrail.verdict)
        reason = found.guardrail.reason
    assert verdicts == [Verdict.BROKEN, Verdict.OPEN]
    assert reason == "treatment has 99 units, an interval needs 100"


def test_who_looks_from_the_second_unit_on_is_alarmed_in_vain_at_most_once_in_twenty() -> None:
    """Rates of both arms are those of one coin; 400 experiments: 0.05 + 4 sigma is 0.094."""
    rng = np.random.default_rng(11)
    looks, alarms = [2, 3, 5, 8, 12, 20, 33, 50, 70, 98, 120, 200, 400], 0
    steps = np.diff([0, *looks])
    for _ in range(400):
        arms = [
            list(cumulative([Moments.of(rng.binomial(1, 0.5, k).astype(float)) for k in steps]))
            for _ in range(2)
        ]
        alarms += any(
            compare_arms(pair, at_end=None, tuning=TUNING, ratio=False, fewest=100).p_value < 0.05
            for pair in zip(*arms, strict=True)
        )
    assert alarms / 400 < 0.094
