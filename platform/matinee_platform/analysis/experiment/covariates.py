"""What was known of units before their exposure, as columns that CUPED takes out."""

from dataclasses import dataclass

import numpy as np

from matinee_platform.analysis.inference.cuped import with_missing_indicator
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_policies.arrays import FloatArray


@dataclass(frozen=True, slots=True)
class Covariates:
    """Covariates of all units, without gaps.

    Attributes:
        names: of those of which anything is known.
        columns: centred covariates and indicators of what was missing, `float64 [n]` each.
    """

    names: tuple[str, ...]
    columns: tuple[FloatArray, ...]


def covariates_of(units: UnitDays) -> Covariates:
    """Columns for the covariates of an experiment; none for one that says nothing."""
    names, columns = [], []
    for name, values in units.covariates.items():
        filled, missing = with_missing_indicator(values)
        if np.ptp(filled) == 0.0 if filled.size else True:
            continue
        names.append(name)
        columns.append(filled - filled.mean())
        if missing.any():
            columns.append(missing - missing.mean())
    return Covariates(tuple(names), tuple(columns))
