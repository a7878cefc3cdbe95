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

from matinee_platform.ope.diagnostics import Diagnostics
from matinee_platform.ope.interval import Interval
from matinee_platform.ope.records import LoggedBatch
from matinee_platform.ope.refusal import judge_slots
from matinee_platform.ope.row_columns import weights_reference
from matinee_platform.ope.weighted_sums import page_rows
from matinee_policies.arrays import FloatArray
from promises import Promise
from stats.effort import Effort
from stats.ope_answers import Key, answers, batch_of, intervals
from stats.ope_world import SLOTS, TARGET, OpeWorld, Pages

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

FORMS = ("first slot", "slot", "cascade", "slate")


@dataclass(slots=True)
class Record:
    """What one estimator or interval said of each log.

    Attributes:
        gaps: values over the truth, less 1.
        covered: whether its interval held the truth.
        widths: of its interval, over the truth.
        given: gaps from the truth given the log.
        covered_given: whether its interval held that.
    """

    gaps: list[float] = field(default_factory=list)
    covered: list[bool] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)
    given: list[float] = field(default_factory=list)
    covered_given: list[bool] = field(default_factory=list)

    def add(self, value: float, interval: Interval, truth: float, given: float) -> None:
        """One log."""
        self.gaps.append(value / truth - 1)
        self.covered.append(truth in interval)
        self.widths.append((interval.high - interval.low) / truth)
        self.given.append(value / given - 1)
        self.covered_given.append(given in interval)


@dataclass(slots=True)
class Truths:
    """What was found over all logs.

    Attributes:
        estimators: by name and slot.
        intervals: by form and method.
        rows: of each log.
        doubts: standard error of each truth, over the truth.
        sizes: effective share at each slot, of single slots and of cascades, `float64 [2, L]` each.
        refused: whether the gate refused the page's value under cascade weights.
        on_policy: clicks over what the oracle expected of the pages shown, less 1.
    """

    estimators: dict[Key, Record] = field(default_factory=lambda: defaultdict(Record))
    intervals: dict[tuple[str, str], Record] = field(default_factory=lambda: defaultdict(Record))
    rows: list[int] = field(default_factory=list)
    doubts: list[float] = field(default_factory=list)
    sizes: list[FloatArray] = field(default_factory=list)
    refused: list[bool] = field(default_factory=list)
    on_policy: list[float] = field(default_factory=list)

    def add(self, pages: Pages, forms: tuple[str, ...]) -> None:
        """One log."""
        batch = batch_of(pages)
        truth, given = pages.truth.mean(axis=0), pages.given.mean(axis=0)
        for key, answer in answers(batch).items():
            self.estimators[key].add(
                answer.value, answer.interval, _at(truth, key[1]), _at(given, key[1])
            )
        for form in forms:
            slot = 0 if form == "first slot" else None
            for method, found in intervals(batch, pages, form).items():
                middle = (found.low + found.high) / 2
                record = self.intervals[form, method]
                record.add(middle, found, _at(truth, slot), _at(given, slot))
        self.rows.append(len(pages))
        self.doubts.append(math.sqrt(float(pages.doubt.sum())) / len(pages) / _at(truth, None))
        self.sizes.append(np.stack([_share(batch, "slot"), _share(batch, "cascade")]))
        self.refused.append(is_refused(batch))
        self.on_policy.append(float(pages.clicks.sum() / pages.own.sum() - 1))


def measure_truths(
    effort: Effort, *, logs: int, logging: dict[str, Any], forms: tuple[str, ...] = FORMS
) -> Truths:
    """Play all logs and ask every estimator.

    Args:
        effort: users of each.
        logs: how many.
        logging: policy that chooses.
        forms: whose intervals are asked.
    """
    world = OpeWorld(users=logs * effort.log_users, logging=logging, target=TARGET)
    found = Truths()
    for pages in world.logs(users=effort.log_users, at_once=AT_ONCE):
        found.add(pages, forms)
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


def is_refused(batch: LoggedBatch) -> bool:
    """Whether the gate refuses the value of the page under cascade weights."""
    weights, _ = weights_reference(batch.logged, batch.target, "cascade")
    slots = {
        f"slot {slot + 1}": Diagnostics.of(
            weights[:, slot],
            batch.rewards[:, slot],
            unreachable=batch.unreachable[:, slot],
            units=batch.unit,
        )
        for slot in range(weights.shape[1])
    }
    page = Diagnostics.of(
        *page_rows(weights, batch.rewards), unreachable=batch.unreachable.mean(axis=1)
    )
    return judge_slots(slots, page=page).is_refused


def _s9(found: Truths, effort: Effort) -> Promise:
    shown = ~np.array(found.refused)
    held = np.array(found.intervals["cascade", "Cressie-Read"].covered)[shown]
    share = float(held.mean()) if held.size else math.nan
    least = float(np.mean(found.sizes, axis=0)[0].min())
    return Promise(
        name=f"S9 page reward at the logged contexts, slots' effective share {least:.0%} and up",
        measured=f"{share:.1%} of {held.size}; {1 - shown.mean():.1%} refused",
        asked=f"at least {S9_LEAST:.0%}",
        kept=bool(held.size) and effort.at_least(share, S9_LEAST, trials=held.size),
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


def _share(batch: LoggedBatch, form: str) -> FloatArray:
    weights, _ = weights_reference(batch.logged, batch.target, form)  # type: ignore[arg-type]
    found: FloatArray = weights.sum(axis=0) ** 2 / (weights**2).sum(axis=0) / len(weights)
    return found
