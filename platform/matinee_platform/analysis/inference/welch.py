"""Difference of two means at the declared end of an experiment (Welch's test).

Units were randomised, so units are the sample. The interval holds for one look; for a live view
see confidence_sequence.py.
"""

import math

from scipy import special

from matinee_platform.analysis.inference.effect import (
    Effect,
    check_confidence,
    effect_of,
    no_effect,
    no_interval,
)
from matinee_platform.analysis.inference.moments import Moments
from matinee_platform.analysis.inference.relative import welch_freedom


def welch(
    treatment: Moments, control: Moments, *, confidence: float = 0.95, method: str = "welch"
) -> Effect:
    """Difference of the means of the first columns of two independent samples (Welch 1947).

    `(mean_t - mean_c) +- q sqrt(s_t^2 / n_t + s_c^2 / n_c)`, `q` of Student's t with the degrees
    of freedom of Welch and Satterthwaite.

    Args:
        treatment: moments of the treatment's units.
        control: moments of the control's units.
        confidence: of the interval, within (0, 1).
        method: name to give to the answer.

    Returns:
        The effect; without an interval, but with the reason, where an arm has less than two units.

    Raises:
        ConfigError: on a confidence outside its range.

    Example:
        >>> import numpy as np
        >>> found = welch(Moments.of(np.array([3.0, 4, 5])), Moments.of(np.array([1.0, 2, 3])))
        >>> found.difference, round(found.low, 2), round(found.high, 2)
        (2.0, -0.27, 4.27)
    """
    check_confidence(confidence)
    reason = no_interval(treatment, control)
    if reason:
        return no_effect(treatment.value, control.value, method=method, reason=reason)
    error2 = treatment.error2, control.error2
    return student_effect(
        treatment.value,
        control.value,
        error2=sum(error2),
        control_error2=control.error2,
        freedom=welch_freedom(error2, (treatment.n, control.n)),
        confidence=confidence,
        method=method,
    )


def student_effect(
    treatment: float,
    control: float,
    *,
    error2: float,
    control_error2: float,
    freedom: float,
    confidence: float,
    method: str,
    covariance: float | None = None,
) -> Effect:
    """An effect whose estimate over its error follows Student's t of `freedom` degrees.

    Other arguments as `effect_of`.
    """
    z = abs(treatment - control) / math.sqrt(error2) if error2 else 0.0
    return effect_of(
        treatment,
        control,
        error2=error2,
        control_error2=control_error2,
        covariance=covariance,
        critical=float(special.stdtrit(freedom, 0.5 + confidence / 2)),
        p_value=2 * float(special.stdtr(freedom, -z)),
        method=method,
    )
