"""Reference arms: candidate scores from the simulator's truth, which no real service has.

    click_oracle          sigmoid(a): probability of a click if the item is examined
    satisfaction_oracle   sigmoid(E[y]): expected satisfaction of a click, squashed into (0, 1)

Both are myopic: they know this page, not what it does to the user.
"""

from collections.abc import Callable

import numpy as np

from matinee_policies.arrays import Float32Array, FloatArray, IndexArray
from matinee_simulator.oracle import Oracle


def reference_scores(
    kind: str, oracle: Oracle, units: IndexArray, items: IndexArray
) -> Float32Array:
    """Scores of candidates by a reference arm.

    Args:
        kind: one of `settings.REFERENCES`.
        oracle: of the simulation.
        units: `int32 [n]`.
        items: candidates, `int32 [n, K]`.

    Returns:
        `float32 [n, K]`, within 0 and 1.
    """
    return _SCORES[kind](oracle, units, items).astype(np.float32)


def _clicks(oracle: Oracle, units: IndexArray, items: IndexArray) -> FloatArray:
    return oracle.click_probability(units, items)


def _satisfaction(oracle: Oracle, units: IndexArray, items: IndexArray) -> FloatArray:
    squashed: FloatArray = 1.0 / (1.0 + np.exp(-oracle.expected_satisfaction(units, items)))
    return squashed


_SCORES: dict[str, Callable[[Oracle, IndexArray, IndexArray], FloatArray]] = {
    "click_oracle": _clicks,
    "satisfaction_oracle": _satisfaction,
}
