"""Reference arms: candidate scores from the simulator's truth, which no real service has.

    click_oracle          sigmoid(a): probability of a click if the item is examined
    satisfaction_oracle   sigmoid(E[y]): expected satisfaction of a click, squashed into (0, 1)
    index_oracle          (index + 4) / 16, clipped: the long-run index with its frozen constants

The first two are myopic: they know this page, not what it does to the user. The index is tuned for
visits (`matinee_simulator.long_run`), and its pages pay its own price of similarity.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from matinee_policies.arrays import Float32Array, FloatArray, IndexArray
from matinee_simulator.long_run.frozen_index import frozen_index
from matinee_simulator.oracle import Oracle

_INDEX_LOW = -4.0
_INDEX_WIDTH = 16.0
"""Of the range of the index that scores hold; a power of two, so that scaling rounds nothing."""


def reference_config(kind: str) -> dict[str, Any]:
    """Settings of the `score_order` policy that ranks the scores of a reference arm.

    Args:
        kind: one of `settings.REFERENCES`.
    """
    if kind != "index_oracle":
        return {}
    return {"diversity": frozen_index().mmr_price / _INDEX_WIDTH}


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


def _index(oracle: Oracle, units: IndexArray, items: IndexArray) -> FloatArray:
    frozen = frozen_index()
    index = oracle.index(
        units,
        items,
        satisfaction_weight=frozen.satisfaction_weight,
        satiation_price=frozen.satiation_price,
    )
    scaled: FloatArray = np.clip((index - _INDEX_LOW) / _INDEX_WIDTH, 0.0, 1.0)
    return scaled


_SCORES: dict[str, Callable[[Oracle, IndexArray, IndexArray], FloatArray]] = {
    "click_oracle": _clicks,
    "satisfaction_oracle": _satisfaction,
    "index_oracle": _index,
}
