"""S2: who looks fifty times at an any-time view is alarmed in vain at most once in twenty.

The same log, units in the order of their exposure, assigned anew under many salts: so alarms are
false. Beside it the fixed-horizon test read as often, which is what the view is there to replace.
"""

import numpy as np

from matinee_platform.analysis.inference.confidence_sequence import (
    Tuning,
    always_valid,
    sequence_of,
)
from matinee_platform.analysis.inference.cuped import adjusted
from matinee_platform.analysis.inference.moments import Moments
from matinee_platform.analysis.inference.ratio import linearise
from matinee_platform.analysis.planning.moment_sums import MomentSums
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_platform.analysis.unit_metrics import unit_metric
from matinee_platform.assignment import UnitCodes, bucket_ranges, choose_arms
from matinee_policies.arrays import FloatArray
from promises import Promise
from stats.effort import Effort

LOOKS = 50
LEVEL = 0.05
FIXED = 1.96
"""Standard errors that are an alarm at `LEVEL` to who looks once."""

NAMES = ("ctr", "engagement_per_user", "sessions_7", "d7")


def measure(days: UnitDays, effort: Effort) -> list[Promise]:
    """Some metrics, plain and adjusted."""
    promises = []
    for name in NAMES:
        found = _alarms(days, name, salts=effort.sequences)
        for kind in ("any time", "any time, adjusted"):
            share = found[kind]
            promises.append(
                Promise(
                    name=f"S2 {name}, {kind}",
                    measured=f"{share:.1%} of {effort.sequences:,}; "
                    f"fixed horizon {found['fixed']:.1%}",
                    asked=f"at most 5 % over {LOOKS} looks",
                    kept=effort.at_most(share, LEVEL, trials=effort.sequences),
                )
            )
    return promises


def _alarms(days: UnitDays, name: str, *, salts: int) -> dict[str, float]:
    """Share of salts with an alarm at any look, by the kind of view."""
    columns = MomentSums(unit_metric(days, name), days.covariates)
    sums = _sums_by_look(days, columns, salts=salts)
    tuning = Tuning(float(sums[0, 0, -1, 0] + sums[1, 0, -1, 0]) / 2)
    count = dict.fromkeys(("fixed", "any time", "any time, adjusted"), 0)
    for control, treatment in zip(sums[0], sums[1], strict=True):
        arms = [_plain(columns, looks) for looks in (treatment, control)]
        seen = sequence_of(*arms, tuning=tuning)
        z = (seen.treatment - seen.control) / seen.standard_error
        count["any time"] += seen.p_value[-1] < LEVEL
        count["fixed"] += bool((np.abs(z) > FIXED).any())
        count["any time, adjusted"] += any(
            _adjusted_p(columns, pair, tuning) < LEVEL
            for pair in zip(treatment, control, strict=True)
        )
    return {kind: alarms / salts for kind, alarms in count.items()}


def _sums_by_look(days: UnitDays, columns: MomentSums, *, salts: int) -> FloatArray:
    """Running sums of both arms at each look, `float64 [2, salts, LOOKS, width]`."""
    order = np.lexsort((days.unit, days.exposed_at))
    codes = [
        (some, UnitCodes([f"{unit:016x}" for unit in days.unit[some].tolist()]))
        for some in np.array_split(order, LOOKS)
    ]
    ranges = bucket_ranges([0.5, 0.5])
    sums = np.empty((2, salts, LOOKS, columns.width))
    for look, (some, ids) in enumerate(codes):
        rows = columns.rows(some)
        arms = np.stack(
            [choose_arms(ids.buckets(f"looks-{salt}"), ranges) for salt in range(salts)]
        )
        for arm in (0, 1):
            sums[arm, :, look] = (arms == arm).astype(np.float64) @ rows
    return sums.cumsum(axis=2)


def _plain(columns: MomentSums, looks: FloatArray) -> list[Moments]:
    own = [columns.moments(sums).select(*range(columns.own)) for sums in looks]
    return [linearise(moments) for moments in own] if columns.own == 2 else own


def _adjusted_p(columns: MomentSums, pair: tuple[FloatArray, FloatArray], tuning: Tuning) -> float:
    treatment, control = (columns.moments(sums) for sums in pair)
    if not columns.has_covariates:
        return 1.0
    arms = adjusted(treatment, control, ratios=int(columns.own == 2))
    return always_valid(arms.treatment, arms.control, tuning=tuning).p_value
