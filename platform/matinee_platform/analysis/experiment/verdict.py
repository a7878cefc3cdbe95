"""The verdict of an experiment in words: which arm, how sure, what forbids a conclusion."""

from typing import Any

from matinee_platform.analysis.experiment.plan import Plan
from matinee_platform.analysis.experiment.words import (
    amount,
    change,
    interval_words,
    listed,
    probability,
)

Document = dict[str, Any]


def verdict_json(document: Document, plan: Plan) -> dict[str, Any]:
    """Put an analysis into words.

    Args:
        document: the analysis without its verdict.
        plan: what the experiment declared.

    Returns:
        `headline`, `conclusive`, `forbids` and `cautions` (sentences), and by arm its `outcome`
        (`better`, `worse`, `mixed`, `unclear`; `harmful` whenever a guardrail is broken, whatever
        primary metrics say; `blocked`), its outcome `by_primary` metrics alone, and a `sentence`.
    """
    forbids = [
        f"{gate['words'][:1].upper()}{gate['words'][1:]}."
        for gate in document["gates"]
        if gate["outcome"] == "failed"
    ]
    arms = {
        arm: _arm(document, arm, blocked=bool(forbids))
        for arm in plan.treatments
        if arm in document["metrics"][plan.settings.primary[0]]["effects"]
    }
    return {
        "headline": _headline(document, plan, arms, forbids),
        "conclusive": not forbids and any(one["outcome"] != "unclear" for one in arms.values()),
        "forbids": forbids,
        "cautions": _cautions(document, plan),
        "arms": arms,
    }


def _arm(document: Document, arm: str, *, blocked: bool) -> dict[str, Any]:
    up: list[str] = []
    down: list[str] = []
    told: list[str] = []
    for metric in document["metrics"].values():
        if metric["role"] != "primary":
            continue
        judged = metric["effects"][arm]["judged"]
        told.append(_difference(metric, arm, document))
        if judged["significant"] and judged["difference"]:
            better = judged["difference"] * metric["direction"] > 0
            (up if better else down).append(metric["title"])
    guardrails = [
        (metric["title"], metric["effects"][arm]["guardrail"]["outcome"])
        for metric in document["metrics"].values()
        if metric["role"] == "guardrail"
    ]
    harmed = [title for title, outcome in guardrails if outcome == "harmed"]
    by_primary = "unclear"
    if up or down:
        by_primary = "mixed" if up and down else "better" if up else "worse"
    outcome = "blocked" if blocked else "harmful" if harmed else by_primary
    words = "no conclusion" if blocked else _OUTCOMES[by_primary]
    if outcome == "harmful":
        words += f"{_JOINED[by_primary]} a guardrail is broken"
    sentence = f"{arm}: {'; '.join(told)}: {words}."
    if guardrails:
        words = ", ".join(f"{title} {outcome}" for title, outcome in guardrails)
        sentence += f" Guardrails: {words}."
    return {
        "outcome": outcome,
        "by_primary": by_primary,
        "sentence": sentence,
        "better": up,
        "worse": down,
        "harmed": harmed,
    }


_OUTCOMES = {
    "better": "better",
    "worse": "worse",
    "mixed": "better and worse",
    "unclear": "no clear difference",
}
_JOINED = {"better": ", but", "worse": ", and", "mixed": ", and", "unclear": ", but"}
"""How a broken guardrail is joined to what primary metrics say."""


def _difference(metric: Document, arm: str, document: Document) -> str:
    control = document["control"]
    mine, theirs = (metric["arms"][name]["value"] for name in (arm, control))
    judged = metric["effects"][arm]["judged"]
    if mine is None or theirs is None:
        reason = judged["reason"]
        if not any(metric["arms"][name]["units"] for name in (arm, control)):
            reason = "no unit's window is over" if metric["settled"] else "no unit counts"
        return f"{metric['title']} cannot be told yet, since {reason}"
    told = f"{metric['title']} {amount(mine, metric)} against {amount(theirs, metric)}"
    if judged["low"] is None:
        return f"{told}, no interval ({judged['reason']})"
    told += f", {change(judged['difference'], metric)}"
    if judged["relative"] is not None:
        told += f" ({100 * judged['relative']:+.1f} %)"
    told += f", {interval_words(judged, metric, confidence=document['confidence'])}"
    p_value = probability(judged["corrected_p_value"])
    return f"{told}, corrected p {p_value if p_value.startswith('<') else f'= {p_value}'}"


def _headline(document: Document, plan: Plan, arms: dict[str, Any], forbids: list[str]) -> str:
    if forbids:
        return f"No conclusion. {' '.join(forbids)}"
    if not arms:
        return "One arm only: there is nothing to compare it with."
    metrics = document["metrics"]
    titles = listed([metrics[name]["title"] for name in plan.settings.primary])
    groups: dict[str, list[str]] = {}
    # Harm first: it is what must not be overlooked.
    order = list(_VERBS)
    first = sorted(
        arms, key=lambda arm: (not arms[arm]["harmed"], order.index(arms[arm]["by_primary"]))
    )
    for arm in first:
        groups.setdefault(_verb(arms[arm]), []).append(_named(document, plan, arm))
    parts = [f"{listed(names)} {verb}" for verb, names in groups.items() if verb]
    if not parts:
        return f"No arm differs clearly from {plan.control} by {titles}."
    rest = groups.get("", [])
    tail = f"; no clear difference for {listed([one.split(' ')[0] for one in rest])}"
    return f"Against {plan.control} by {titles}: {'; '.join(parts)}{tail if rest else ''}."


_VERBS = {
    "better": "better",
    "mixed": "better by one primary metric and worse by another",
    "worse": "worse",
    "unclear": "not clearly different",
}
_BREAKS = "breaking the guardrail"


def _verb(one: dict[str, Any]) -> str:
    """What the headline says of an arm; empty for no clear difference."""
    verb = _VERBS[one["by_primary"]]
    if one["outcome"] == "harmful":
        return f"{verb}{_JOINED[one['by_primary']]} {_BREAKS} {listed(one['harmed'])}"
    return "" if one["by_primary"] == "unclear" else verb


def _named(document: Document, plan: Plan, arm: str) -> str:
    """An arm with its relative effect, where there is one primary metric."""
    judged = document["metrics"][plan.settings.primary[0]]["effects"][arm]["judged"]
    if len(plan.settings.primary) > 1 or judged["relative"] is None:
        return arm
    return f"{arm} ({100 * judged['relative']:+.1f} %)"


def _cautions(document: Document, plan: Plan) -> list[str]:
    lines = [
        f"{gate['words'][:1].upper()}{gate['words'][1:]}."
        for gate in document["gates"]
        if gate["outcome"] == "warned"
    ]
    if document["at_declared_end"]:
        lines.append(
            f"Judged at the declared end, day {plan.horizon_days}, by intervals that hold for that "
            "one look."
        )
    else:
        lines.append(
            "Intervals hold at every look, however often one looks; the declared end "
            + (
                f"is day {plan.horizon_days}."
                if plan.horizon_days is not None
                else "is open, so those of a fixed horizon are not shown."
            )
        )
    for name in plan.settings.primary:
        metric = document["metrics"][name]
        if not metric["settled"] and not document["at_declared_end"]:
            lines.append(
                f"The interval of {metric['title']} at every look is approximate: a unit's value "
                "still grows while one looks."
            )
        lines += _maturity(document, name)
    return [*lines, *plan.cautions]


def _maturity(document: Document, name: str) -> list[str]:
    """How many units the rate of a metric speaks of."""
    metric = document["metrics"][name]
    shares = [
        arm["units"] / document["arms"][one]["units"]
        for one, arm in metric["arms"].items()
        if document["arms"][one]["units"]
    ]
    if not shares or min(shares) == 1.0:
        return []
    return [
        f"{metric['title'][:1].upper()}{metric['title'][1:]} speaks of units whose window is over, "
        f"in the least matured arm {100 * min(shares):.0f} % of those exposed."
    ]
