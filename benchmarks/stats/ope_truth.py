"""Every off-policy estimator and interval on 200 logs of simulated users, beside the truth.

The truth of a page is what the oracle expects of the other policy's pages at the logged contexts;
the truth of a slot given the log is what it expects of that policy's item below the items that the
log shows. They differ where users care what stands above: forms that weigh slots one by one hold
the second, those that weigh whole pages or cascades hold the first.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from matinee_platform.ope.evaluation import Evaluation, Valued
from matinee_platform.ope.interval import Interval
from matinee_policies.arrays import FloatArray
from promises import Promise
from stats.effort import Effort
from stats.ope_answers import said_of
from stats.ope_world import SLOTS, TARGET, OpeWorld, Pages

Key = tuple[str, int | None]
"""Name of an estimator, and the slot; None for the page."""

AT_ONCE = 20
"""Logs that are played side by side."""

LEAST = 0.93
S9_LEAST = 0.9
ERRORS = 4.0

UNBIASED: dict[str, tuple[Key, ...]] = {
    "of the page": (
        ("standard", None),
        ("rips", None),
        ("cascade_dr", None),
        ("sn_rips", None),
        ("sn_cascade_dr", None),
    ),
    "of slot 1": (("ips", 0), ("snips", 0), ("dr", 0), ("sndr", 0)),
    "given the log": (
        ("ips", None),
        ("snips", None),
        ("dr", None),
        ("sndr", None),
        ("ips", SLOTS - 1),
        ("dr", SLOTS - 1),
    ),
}
"""Estimators whose expectation is that truth, up to 1 / n for the self-normalised."""

FORMS: dict[str, Key] = {
    "first slot": ("ips", 0),
    "slot": ("ips", None),
    "cascade": ("rips", None),
    "slate": ("standard", None),
}
"""Estimators whose intervals are told of every kind."""

METHODS = {
    "Cressie-Read": "cressie_read",
    "empirical Bernstein": "empirical_bernstein",
    "bootstrap over units": "bootstrap",
    "anytime": "anytime",
}
NORMAL = 1.959963984540054
"""Half the width of a 95 % interval, in standard errors."""


@dataclass(slots=True)
class Record:
    """What one estimator or interval said of each log.

    Attributes:
        gaps: values over the truth, less 1.
        covered: whether its interval held the truth, of the logs where it has one.
        widths: of its interval, over the truth.
        given: gaps from the truth given the log.
        covered_given: whether its interval held that.
        noise: whether resampling held the truth, of an estimator that has no interval of its own
            since the log does not tell its bias.
        shown: whether it has a value.
    """

    gaps: list[float] = field(default_factory=list)
    covered: list[bool] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)
    given: list[float] = field(default_factory=list)
    covered_given: list[bool] = field(default_factory=list)
    noise: list[bool] = field(default_factory=list)
    shown: list[bool] = field(default_factory=list)

    def add(
        self,
        value: float | None,
        interval: Interval | None,
        *,
        truth: float,
        given: float,
        noise: Interval | None = None,
    ) -> None:
        """One log."""
        self.shown.append(value is not None)
        if value is None:
            return
        self.gaps.append(value / truth - 1)
        self.given.append(value / given - 1)
        if interval is not None:
            self.covered.append(truth in interval)
            self.widths.append((interval.high - interval.low) / truth)
            self.covered_given.append(given in interval)
        elif noise is not None:
            self.noise.append(truth in noise)


@dataclass(slots=True)
class Truths:
    """What was found over all logs.

    Attributes:
        estimators: by name and slot.
        intervals: by form and method.
        rows: of each log.
        doubts: standard error of each truth, over the truth.
        sizes: effective share at each slot, of single slots and of cascades, `float64 [2, L]` each.
        headline: the estimator that decides by default.
        on_policy: clicks over what the oracle expected of the pages shown, less 1.
    """

    estimators: dict[Key, Record] = field(default_factory=lambda: defaultdict(Record))
    intervals: dict[tuple[str, str], Record] = field(default_factory=lambda: defaultdict(Record))
    rows: list[int] = field(default_factory=list)
    doubts: list[float] = field(default_factory=list)
    sizes: list[FloatArray] = field(default_factory=list)
    headline: str = ""
    on_policy: list[float] = field(default_factory=list)

    def add(self, pages: Pages, said: Evaluation) -> None:
        """One log."""
        truth, given = pages.truth.mean(axis=0), pages.given.mean(axis=0)
        for one in (*said.values, *said.by_slot):
            true, below = _at(truth, one.slot), _at(given, one.slot)
            noise = one.more.get("bootstrap")
            record = self.estimators[one.estimator, one.slot]
            record.add(one.value, one.interval, truth=true, given=below, noise=noise)
            for form in (name for name, key in FORMS.items() if key == (one.estimator, one.slot)):
                for method, found in _intervals(one).items():
                    record = self.intervals[form, method]
                    record.add(one.value, found, truth=true, given=below)
        self.rows.append(len(pages))
        self.doubts.append(math.sqrt(float(pages.doubt.sum())) / len(pages) / _at(truth, None))
        self.on_policy.append(float(pages.clicks.sum() / pages.own.sum() - 1))
        kinds = {one.weights: one.slots for one in said.weighings}
        shares = [[one.effective_share for one in kinds[name]] for name in ("slot", "cascade")]
        self.sizes.append(np.array(shares))
        self.headline = said.headline.estimator


def measure_truths(effort: Effort, *, logs: int, logging: dict[str, Any]) -> Truths:
    """Play all logs and value the other policy on each by the shipped call.

    Args:
        effort: users of each.
        logs: how many.
        logging: policy that chooses.
    """
    world = OpeWorld(users=logs * effort.log_users, logging=logging, target=TARGET)
    found = Truths()
    for pages in world.logs(users=effort.log_users, at_once=AT_ONCE):
        found.add(pages, said_of(pages, logging, TARGET, genres=world.genres))
    return found


def promises(found: Truths, effort: Effort) -> list[Promise]:
    """S9, and what estimators must hold for it: no bias, and a default interval that covers."""
    logs = len(found.rows)
    said = [_unbiased(found, about, key) for about, keys in UNBIASED.items() for key in keys]
    said.append(_within("own pages' clicks", "the oracle", found.on_policy))
    for form in ("first slot", "cascade", "slate"):
        record = found.intervals[form, "Cressie-Read"]
        share = float(np.mean(record.covered))
        said.append(
            Promise(
                name=f"S3 Cressie-Read of {logs} logs, {WORDS[form]}",
                measured=f"{share:.1%} of {logs}",
                asked=f"at least {LEAST:.0%}",
                kept=effort.at_least(share, LEAST, trials=logs),
            )
        )
    return [*said, _s9(found, effort)]


def _s9(found: Truths, effort: Effort) -> Promise:
    """Of the headline, by its default interval."""
    record = found.estimators[found.headline, None]
    held, shown = record.covered, float(np.mean(record.shown))
    share = float(np.mean(held)) if held else math.nan
    least = float(np.mean(found.sizes, axis=0)[0].min())
    return Promise(
        name=f"S9 page reward at the logged contexts, slots' effective share {least:.0%} and up",
        measured=f"{share:.1%} of {len(held)} by {found.headline}; {1 - shown:.1%} refused",
        asked=f"at least {S9_LEAST:.0%}",
        kept=bool(held) and effort.at_least(share, S9_LEAST, trials=len(held)),
    )


def _unbiased(found: Truths, about: str, key: Key) -> Promise:
    record = found.estimators[key]
    gaps = record.given if about == "given the log" else record.gaps
    place = "page" if key[1] is None else f"slot {key[1] + 1}"
    return _within(f"{key[0]}, {place}", f"the truth {about}", gaps)


def _within(name: str, of: str, gaps: list[float]) -> Promise:
    mean = float(np.mean(gaps))
    error = float(np.std(gaps, ddof=1) / math.sqrt(len(gaps)))
    return Promise(
        name=f"OPE mean of {name}",
        measured=f"{mean:+.2%}, standard error {error:.2%}",
        asked=f"within {ERRORS:.0f} standard errors of {of}",
        kept=abs(mean) <= ERRORS * error,
    )


WORDS = {
    "first slot": "IPS of slot 1",
    "slot": "IIPS of the page",
    "cascade": "RIPS of the page",
    "slate": "standard IPS of the page",
}


def _at(truth: FloatArray, slot: int | None) -> float:
    return float(truth.sum() if slot is None else truth[slot])


def _intervals(one: Valued) -> dict[str, Interval]:
    """Every interval of a value, by its name in the table."""
    found = {name: one.more[kind] for name, kind in METHODS.items() if kind in one.more}
    if one.value is not None and one.standard_error is not None:
        half = NORMAL * one.standard_error
        found["normal, by unit"] = Interval(one.value - half, one.value + half, 0.95, "normal")
    return found
