"""References for the long run: a tuned index of items, and what hindsight could reach.

The index is ranked by `rollout.index_order` and by `Oracle.index`; its constants are tuned on
training seeds by the cross-entropy method (`index_tuning`) and frozen in the package
(`frozen_index`).
"""

from matinee_simulator.long_run.cross_entropy import CrossEntropy, Generation
from matinee_simulator.long_run.frozen_index import FrozenIndex, frozen_index
from matinee_simulator.long_run.hindsight import MOST_USERS, Hindsight, hindsight
from matinee_simulator.long_run.index_tuning import TRAINING_SEEDS, Training, tune_index
from matinee_simulator.long_run.reference_table import (
    TABLE_RANKERS,
    ReferenceRow,
    reference_rows,
)

__all__ = [
    "MOST_USERS",
    "TABLE_RANKERS",
    "TRAINING_SEEDS",
    "CrossEntropy",
    "FrozenIndex",
    "Generation",
    "Hindsight",
    "ReferenceRow",
    "Training",
    "frozen_index",
    "hindsight",
    "reference_rows",
    "tune_index",
]
