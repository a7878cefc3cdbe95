"""The logistic function, shared by every probability of the model."""

import math

from matinee_policies.compiled import lean_kernel


@lean_kernel
def logistic(logit: float) -> float:
    """1 / (1 + exp(-logit)), in [0, 1]; monotone, and finite for any finite logit."""
    return 1.0 / (1.0 + math.exp(-logit))
