"""One decision from Python: shared LinUCB with MMR, K = 100, d = 64, m = 64, 10 slots.

Each call makes the records and passes every check, as a live request does; so does a batch of
1,000. Medians of wall-clock time, the best of three turns. The split names where the time goes.

    python benchmarks/decision.py [--quick] [--json]
"""

from collections.abc import Callable
from dataclasses import fields

from harness import Bars, Effort, Row, main, median_seconds
from made_up_decisions import contexts_of, keys_of, learned_policy
from matinee_policies.records import ContextBatch
from matinee_policies.rules import upper_bound_rule
from matinee_policies.slate import SlateProblem, sample_slates

K, DIMENSION, SLOTS = 100, 64, 10
ONE_US, EACH_US = 250.0, 60.0
TURNS = 3


def measure(effort: Effort) -> list[Row]:
    """One row for a single decision, one for each decision of a batch."""
    calls = 3 if effort.tiny else int(1_000 * effort.seconds * effort.repeats)
    batch = 4 if effort.tiny else 1_000
    return [
        _row("one decision", 1, calls=calls, bar=ONE_US),
        _row(f"each of a batch of {batch:,}", batch, calls=max(calls // 50, 3), bar=EACH_US),
    ]


def _row(name: str, decisions: int, *, calls: int, bar: float) -> Row:
    parts = _parts(decisions)
    micro = {
        part: min(median_seconds(run, calls=calls) for _ in range(TURNS)) / decisions * 1e6
        for part, run in parts.items()
    }
    whole = micro.pop("whole")
    split = ", ".join(f"{part} {spent:.1f}" for part, spent in micro.items())
    other = whole - sum(micro.values())
    return Row(
        name=name,
        size=f"K = {K}, d = {DIMENSION}, {SLOTS} slots",
        unit="µs",
        ours=whole,
        bars=Bars(at_most=bar),
        note=f"{name.capitalize()}, µs: {split}, between these {other:.1f}.",
    )


def _parts(decisions: int) -> dict[str, Callable[[], object]]:
    """The whole decision, and the steps of which it is made."""
    contexts = contexts_of(decisions=decisions, candidates=K, dimension=DIMENSION)
    given = {field.name: getattr(contexts, field.name) for field in fields(contexts)}
    keys = keys_of(decisions)
    policy = learned_policy(DIMENSION, slots=SLOTS)
    diversity = policy.config.diversity
    rule = upper_bound_rule(floor=policy.config.floor)
    values = policy.values(contexts)

    def problem() -> SlateProblem:
        return SlateProblem(contexts=contexts, values=values, rule=rule, diversity=diversity)

    ready = problem()
    return {
        "whole": lambda: policy.decide(ContextBatch(**given), slots=SLOTS, keys=keys),
        "records and their checks": lambda: ContextBatch(**given),
        "values": lambda: policy.values(contexts),
        "checks of the sampler": problem,
        "sampler": lambda: sample_slates(ready, slots=SLOTS, keys=keys),
    }


if __name__ == "__main__":
    main(__doc__, measure)
