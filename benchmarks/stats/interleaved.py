"""How soon interleaving and an A/B test tell two rankings apart at equal traffic.

Simulated users see interleaved pages of two arms; as many others are split between the arms. Every
figure has its standard error over users; a number of standard errors has one of 1. The first pair
are a ranking by true click probabilities and the order of the matrix factorization; of the second,
one arm composes its slates as sets, which is what interleaving cannot tell.

    python -m stats.interleaved [--config examples/demo.yaml] [--users 2500] [--days 8]
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

from matinee_platform.analysis.inference.effect import Effect
from matinee_platform.analysis.inference.gates import FEWEST_UNITS
from matinee_platform.analysis.inference.moments import Moments
from matinee_platform.analysis.inference.ratio import linearise
from matinee_platform.analysis.inference.welch import welch
from matinee_platform.analysis.preference import Preference, preference
from matinee_platform.analysis.unit_days.declared import DeclaredArms
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_platform.analysis.unit_days.run_log import read_folder_unit_days
from matinee_platform.analysis.unit_metrics import unit_metric
from matinee_platform.offline.prepare import prepare
from matinee_platform.settings import ArmSettings, ExperimentSettings, load_settings, parse_settings
from matinee_platform.studies import interleaving
from matinee_platform.studies.runs import logged_run

METRICS = ("ctr", "engagement_per_user", "sessions_per_user")
_TWO_SIDED = 1.96
_FOUND = 2.80
"""Standard errors of an effect that a test at 5 % finds in four of five experiments."""

_CLEAR = 3.0
"""Standard errors from which on an effect is taken for one that is there."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A pair of arms, by both ways.

    Attributes:
        names: first arm and second.
        preference: for the first, by clicks.
        effects: of the first over the second in an A/B test, by metric.
        warnings: of interleaving.
    """

    names: tuple[str, str]
    preference: Preference
    effects: dict[str, Effect]
    warnings: tuple[str, ...]

    @property
    def error(self) -> float:
        """Standard error of the preference."""
        return (self.preference.high - self.preference.low) / (2 * _TWO_SIDED)

    @property
    def z(self) -> float:
        """Standard errors of the preference from 0."""
        return self.preference.preference / self.error

    def sensitivity(self) -> tuple[float, float]:
        """Users of an A/B test by CTR for each user of interleaving, and its standard error."""
        ctr = self.effects["ctr"]
        other = ctr.difference / ctr.standard_error
        ratio = (self.z / other) ** 2
        return ratio, 2 * ratio * math.hypot(1 / self.z, 1 / other)


def compared(
    settings: ExperimentSettings, arms: tuple[ArmSettings, ArmSettings], *, users: int, days: int
) -> Compared:
    """Interleave two arms for some users, and split as many between them."""
    names = arms[0].name, arms[1].name
    even = [arm.model_copy(update={"weight": 0.5}) for arm in arms]
    changes = {"arms": even, "control": names[1], "users": users, "days": days}
    own = settings.model_copy(update=changes)
    found = interleaving.run(own, names, users=users, days=days)
    split_seed = own.model_copy(update={"seed": own.seed + 1})
    with logged_run(split_seed, prepare(split_seed), workers=1) as run:
        declared = DeclaredArms(names, (0.5, 0.5))
        split = read_folder_unit_days(run, arms=declared, days=days, states=False)
    return Compared(
        names,
        preference(found.clicks[found.pages > 0]),
        {name: welch(*_moments(split, name)) for name in METRICS},
        found.warnings,
    )


def _moments(split: UnitDays, name: str) -> tuple[Moments, Moments]:
    """Both arms of an A/B test."""
    metric = unit_metric(split, name)
    arm = split.arm[metric.units]
    first, second = (Moments.of(*(one[arm == place] for one in metric.columns)) for place in (0, 1))
    return (first, second) if metric.denominators is None else (linearise(first), linearise(second))


def lines(found: Compared, *, users: int, days: int) -> list[str]:
    """A Markdown table of one pair."""
    first, second = found.names
    shown = found.preference.preference
    told = [
        f"**{first} against {second}**, {users:,} users each way, {days} days",
        "",
        f"| | for {first} | standard errors from 0 | users for a power of 80 % |",
        "|---|--:|--:|--:|",
        f"| interleaved, preference by clicks | {100 * shown:+.2f} ± {100 * found.error:.2f} points"
        f" | {found.z:+.1f} | {_needed(found.z, users)} |",
    ]
    for name, effect in found.effects.items():
        z, lift = effect.difference / effect.standard_error, 100 / effect.control
        told.append(
            f"| A/B, {name} | {lift * effect.difference:+.2f} ± "
            f"{lift * effect.standard_error:.2f} % | {z:+.1f} | {_needed(z, users)} |"
        )
    ratio, error = found.sensitivity()
    told += [
        "",
        f"By clicks, a user of interleaving is worth {ratio:.1f} ± {error:.1f} of the A/B.",
    ]
    return told + [f"Warned: {warning}." for warning in found.warnings]


def _needed(z: float, users: int) -> str:
    """Users with whom such an effect would be found, if it is clearly not 0."""
    if abs(z) <= _CLEAR:
        return "not told from 0"
    found = math.ceil(users * (_FOUND / z) ** 2)
    return f"{found:,}" if found >= FEWEST_UNITS else f"fewer than {FEWEST_UNITS}"


def main() -> None:
    """Both pairs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--config", type=Path, default=Path("examples/demo.yaml"))
    parser.add_argument("--set", action="append", default=[], help="change a setting")
    parser.add_argument("--users", type=int, default=2_500)
    parser.add_argument("--days", type=int, default=8)
    given = parser.parse_args()
    base = load_settings(given.config, given.set).model_dump(mode="json")
    arms = [
        {"name": "click_oracle", "weight": 0.3, "policy": {"kind": "click_oracle"}},
        {"name": "mf_order", "weight": 0.3, "policy": {"kind": "score_order"}},
        {
            "name": "mf_diverse",
            "weight": 0.4,
            "policy": {"kind": "score_order", "diversity": 0.5},
        },
    ]
    settings = parse_settings({**base, "arms": arms, "control": "mf_order"})
    oracle, plain, diverse = settings.arms
    for pair in ((oracle, plain), (diverse, plain)):
        found = compared(settings, pair, users=given.users, days=given.days)
        print("\n".join([*lines(found, users=given.users, days=given.days), ""]), flush=True)


if __name__ == "__main__":
    main()
