"""The tables of what off-policy estimators and intervals said beside the truth, in Markdown."""

import math
from typing import Any

import numpy as np

from matinee_platform.ope.evaluator import REPLICATES
from stats.ope_truth import FORMS, WORDS, Key, Record, Truths
from stats.ope_world import DAYS, LOGGING, SLOTS, TARGET, TRUTH_DRAWS, K

_PAGES = {
    "ips": "IPS of slots (IIPS)",
    "snips": "SNIPS of slots",
    "dm": "DM",
    "dr": "DR of slots",
    "sndr": "SNDR of slots",
    "clipped": "clipped IPS",
    "switch_dr": "Switch-DR",
    "dros": "DRos",
    "subgaussian": "subgaussian IPS",
    "subgaussian_dr": "subgaussian DR",
    "mips": "MIPS, genres",
    "snmips": "self-normalised MIPS",
    "standard": "standard IPS",
    "sn_standard": "self-normalised standard",
    "rips": "RIPS",
    "sn_rips": "self-normalised RIPS",
    "cascade_dr": "cascade-DR",
    "sn_cascade_dr": "self-normalised cascade-DR",
    "replay": "replay",
}
_SLOTS = {
    name: named.removesuffix(" (IIPS)").removesuffix(" of slots") for name, named in _PAGES.items()
}
_BY_SLOT = (
    "ips",
    "snips",
    "dm",
    "dr",
    "sndr",
    "clipped",
    "switch_dr",
    "dros",
    "subgaussian",
    "subgaussian_dr",
    "mips",
    "snmips",
)
_WHOLE = ("standard", "sn_standard", "rips", "sn_rips", "cascade_dr", "sn_cascade_dr")


def tables(found: Truths, uniform: Truths) -> str:
    """All tables with a line of facts.

    Args:
        found: logs of the softmax.
        uniform: logs whose pages were drawn uniformly.
    """
    logs = len(found.rows)
    slots, cascades = np.mean(found.sizes, axis=0)
    facts = (
        f"{logs} logs of {np.mean(found.rows):,.0f} pages by {_law(LOGGING)}, K = {K}, "
        f"L = {SLOTS}, {DAYS} days; evaluated: {_law(TARGET)}. Effective share of the rows "
        f"{slots.min():.0%} to {slots.max():.0%} by slot, {cascades.min():.0%} at the last slot of "
        f"a cascade. The truth of a log is the oracle's, over {TRUTH_DRAWS} drawn pages a context: "
        f"known to {np.mean(found.doubts):.2%}. Shares of logs have a standard error of "
        f"{_binomial(0.95, logs):.1%} at 95 %."
    )
    return "\n".join([facts, "", *_estimators(found, uniform), "", *_intervals(found)])


def _estimators(found: Truths, uniform: Truths) -> list[str]:
    head = (
        "| estimator | of | bias | error (rms) | 95 % covered | bias given the log | covered |",
        "|---|---|---|---|---|---|---|",
    )
    keys: list[Key] = [(name, None) for name in _PAGES if name != "replay"]
    keys += [(name, slot) for slot in (0, SLOTS - 1) for name in _BY_SLOT]
    rows = [_row(key, found.estimators[key]) for key in keys]
    also: list[Key] = [(name, None) for name in ("replay", "ips", "sn_rips")]
    where = f", {len(uniform.rows)} uniform logs of {np.mean(uniform.rows):,.0f} pages"
    rows += [_row(key, uniform.estimators[key], where) for key in also]
    return [*head, *rows]


def _row(key: Key, record: Record, where: str = "") -> str:
    name, slot = key
    named = _PAGES[name] if slot is None else _SLOTS[name]
    place = ("page" if slot is None else f"slot {slot + 1}") + where
    refused = 1.0 - float(np.mean(record.shown)) if record.shown else 1.0
    if not record.gaps:
        return f"| {named} | {place} | refused |  |  |  |  |"
    place += f", {refused:.0%} refused" if refused else ""
    cells = [named, place, _mean(record.gaps), f"{_rms(record.gaps):.1%}", _covered(record)]
    # Weights of cascades and slates leave nothing to what the log shows above.
    alike = name in _WHOLE or slot == 0
    cells += ["", ""] if alike else [_mean(record.given), _given(record)]
    return f"| {' | '.join(cells)} |"


def _intervals(found: Truths) -> list[str]:
    methods = list(dict.fromkeys(method for _, method in found.intervals))
    lines = [
        "| interval | " + " | ".join(WORDS[form] for form in FORMS) + " |",
        "|---|" + "---|" * len(FORMS),
    ]
    for method in methods:
        records = [found.intervals[form, method] for form in FORMS]
        cells = [
            f"{_share(one.covered)}, width {np.mean(one.widths):.2f}" if one.covered else "none"
            for one in records
        ]
        if records[1].covered_given:
            cells[1] += f" (given the log {_share(records[1].covered_given)})"
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return [
        *lines,
        "",
        f"Widths are shares of the truth, means over logs. The bootstrap draws {REPLICATES} times.",
    ]


def _law(config: dict[str, Any]) -> str:
    said = ", ".join(f"{name} {value:g}" for name, value in config.items() if name != "kind")
    return f"{config['kind']} ({said})"


def _mean(gaps: list[float]) -> str:
    error = float(np.std(gaps, ddof=1)) / math.sqrt(len(gaps))
    return f"{np.mean(gaps):+.1%} ± {error:.1%}"


def _rms(gaps: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(gaps))))


def _share(held: list[bool]) -> str:
    share = float(np.mean(held))
    return f"{share:.1%} ± {_binomial(share, len(held)):.1%}"


def _covered(record: Record) -> str:
    if record.covered:
        return _share(record.covered)
    return f"no interval (noise: {_share(record.noise)})" if record.noise else "no interval"


def _given(record: Record) -> str:
    return _share(record.covered_given) if record.covered_given else ""


def _binomial(share: float, trials: int) -> float:
    """Standard error of a share, of one trial less or more where all agree."""
    inside = min(max(share, 1 / (trials + 2)), 1 - 1 / (trials + 2))
    return math.sqrt(inside * (1 - inside) / trials)
