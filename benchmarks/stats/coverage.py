"""S3, the part on A/B tests: 95 % intervals hold the true difference in 93 to 97 % of experiments.

Units are heavy-tailed, numerators go with denominators, three in ten have no past, and there is a
true lift: closed forms say how large (`made_up_units`).
"""

from collections.abc import Callable

import numpy as np

from matinee_platform.analysis.inference.cuped import cuped, with_missing_indicator
from matinee_platform.analysis.inference.effect import Effect
from matinee_platform.analysis.inference.life_table import LifeTable
from matinee_platform.analysis.inference.moments import Moments
from matinee_platform.analysis.inference.quantile import quantile_difference
from matinee_platform.analysis.inference.ratio import ratio
from matinee_platform.analysis.inference.restricted_mean import restricted_mean_difference
from matinee_platform.analysis.inference.welch import welch
from promises import Promise
from stats.effort import Effort
from stats.made_up_units import HORIZON, Units, made_up, truth

LIFT = 0.05
UNITS = 1_000, 2_000
"""Of treatment and of control."""

LOW, HIGH = 0.93, 0.97


def measure(effort: Effort) -> list[Promise]:
    """Every interval of a comparison."""
    before, after = truth(), truth(lift=LIFT)
    cases: dict[str, tuple[Callable[[Units, Units], Effect], float, float]] = {
        "clicks per user, welch": (_clicks, after.clicks, before.clicks),
        "clicks per user, cuped": (_adjusted_clicks, after.clicks, before.clicks),
        "ctr, ratio": (_ctr, after.ctr, before.ctr),
        "ctr, cuped": (_adjusted_ctr, after.ctr, before.ctr),
        "returned, welch": (_stayed, after.stayed, before.stayed),
        "median watched, bootstrap": (_watched, after.watched, before.watched),
        f"days of {HORIZON}, restricted mean": (_lasted, after.lasted, before.lasted),
    }
    held = dict.fromkeys(cases, 0)
    held_lift = dict.fromkeys(cases, 0)
    for number in range(effort.experiments):
        rng = np.random.default_rng([3, number])
        treatment, control = made_up(rng, UNITS[0], lift=LIFT), made_up(rng, UNITS[1])
        for name, (method, high, low) in cases.items():
            found = method(treatment, control)
            held[name] += found.low <= high - low <= found.high
            held_lift[name] += found.relative_low <= high / low - 1 <= found.relative_high
    return [
        _promise(f"S3 {name}, {what}", count / effort.experiments, effort)
        for what, counts in (("difference", held), ("lift", held_lift))
        for name, count in counts.items()
    ]


def _promise(name: str, share: float, effort: Effort) -> Promise:
    n = effort.experiments
    return Promise(
        name=name,
        measured=f"{share:.1%} of {n:,}",
        asked="93 to 97 %",
        kept=effort.at_least(share, LOW, trials=n) and effort.at_most(share, HIGH, trials=n),
    )


def _clicks(treatment: Units, control: Units) -> Effect:
    return welch(Moments.of(treatment.clicks), Moments.of(control.clicks))


def _stayed(treatment: Units, control: Units) -> Effect:
    return welch(Moments.of(treatment.stayed), Moments.of(control.stayed))


def _ctr(treatment: Units, control: Units) -> Effect:
    return ratio(*(Moments.of(arm.clicks, arm.impressions) for arm in (treatment, control)))


def _watched(treatment: Units, control: Units) -> Effect:
    return quantile_difference(
        treatment.watched, control.watched, quantile=0.5, seed=3, resamples=500
    )


def _lasted(treatment: Units, control: Units) -> Effect:
    tables = [LifeTable.of(arm.lasted, arm.left) for arm in (treatment, control)]
    return restricted_mean_difference(tables[0], tables[1], horizon=HORIZON)


def _adjusted_clicks(treatment: Units, control: Units) -> Effect:
    known = _known(treatment, control)
    return cuped(Moments.of(treatment.clicks, *known[0]), Moments.of(control.clicks, *known[1]))


def _adjusted_ctr(treatment: Units, control: Units) -> Effect:
    known = _known(treatment, control)
    return cuped(
        Moments.of(treatment.clicks, treatment.impressions, *known[0]),
        Moments.of(control.clicks, control.impressions, *known[1]),
        ratios=1,
    )


def _known(treatment: Units, control: Units) -> list[list[np.ndarray]]:
    """What was known before: filled and missing, the mean taken over both arms."""
    both = with_missing_indicator(np.concatenate([treatment.before, control.before]))
    cut = treatment.before.size
    return [[column[:cut] for column in both], [column[cut:] for column in both]]
