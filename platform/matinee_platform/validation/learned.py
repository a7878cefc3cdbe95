"""Fact 23 and T11: the platform's own run, what its learners do to retention and how fast it is."""

import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from matinee_platform.offline.peak_memory import peak_memory_mb
from matinee_platform.offline.run import run_experiment
from matinee_platform.settings import parse_settings
from matinee_platform.validation.claims import ACCEPTANCE
from matinee_platform.validation.evidence import CANDIDATES, SLOTS, Evidence
from matinee_simulator.rollout import relevance_order
from matinee_simulator.stylised_facts import Figure, Finding, Line, Plot, Verdict
from matinee_simulator.stylised_facts.personalisation import Effect, effects_are_small

CONTROL = "mf_order"
LEARNERS: dict[str, dict[str, Any]] = {
    "epsilon_greedy": {"kind": "epsilon_greedy", "epsilon": 0.1, "diversity": 0.05},
    "lin_ucb_mmr": {"kind": "lin_ucb", "alpha": 0.1, "diversity": 0.05},
}
"""Policies that learn, as in the example of the trade-off."""

_NORMAL_95 = 1.959964
_PAGES_GATE, _PAGES_GOAL = 40_000.0, 100_000.0
_LEARNING_SHARE = 0.25


class LearnedRun:
    """A paired run of the platform, made when it is first asked for.

    Args:
        evidence: data, parameters and sizes.
    """

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    @cached_property
    def results(self) -> dict[str, Any]:
        """Its `results.json`."""
        evidence = self._evidence
        parameters = evidence.parameters
        settings = parse_settings(
            {
                "name": "validation",
                "seed": evidence.request.seed,
                "users": evidence.size.learned_users,
                # The last user to arrive needs 29 days for D28 as the mean of days 27 to 29.
                "days": parameters.arrival_days + 29,
                "slots": SLOTS,
                "candidates": CANDIDATES,
                "design": "paired",
                "control": CONTROL,
                "data": None
                if evidence.request.data is None
                else evidence.request.data.model_dump(mode="json"),
                "world": parameters.to_json(),
                "reward": {
                    "engagement": {"watch": 1.0, "click": -0.3},
                    "return_visit": {"weight": 0.05},
                },
                "arms": [
                    {"name": CONTROL, "policy": {"kind": "score_order"}},
                    *({"name": name, "policy": policy} for name, policy in LEARNERS.items()),
                ],
            }
        )
        with tempfile.TemporaryDirectory(prefix="matinee-") as folder:
            return run_experiment(settings, Path(folder) / "run", workers=1)


def learned_effects(run: LearnedRun) -> Finding:
    """The finding of fact 23."""
    arms = run.results["arms"]
    control = arms[CONTROL]["d28_smoothed"]["rate"]
    return effects_are_small(
        [
            Effect(
                policy=name,
                d28=arms[name]["d28_smoothed"]["rate"],
                control=control,
                standard_error=_error(arms[name]["difference"]["d28_smoothed"]),
            )
            for name in LEARNERS
        ]
    )


def speed_and_memory(evidence: Evidence, run: LearnedRun) -> Finding:
    """The finding of T11: rates of this machine in this run, and no verdict."""
    played = evidence.play(relevance_order(), evidence.request.seed)
    rollout = float(played.user_pages.sum()) / max(played.seconds, 1e-9)
    results = run.results
    rates = {
        name: results["arm_runs"][name]["pages"] / results["timings"]["arms"][name]["seconds"]
        for name in (CONTROL, *LEARNERS)
    }
    memory = results["timings"]["arms"][CONTROL]["peak_memory_mb"]
    figures = [
        _rate("pages a second, rollout without a log", rollout, _PAGES_GOAL, "goal"),
        _rate("pages a second, matrix factorization, log written", rates[CONTROL], _PAGES_GATE),
        *(_rate(f"pages a second, {name} learning, log written", rates[name]) for name in LEARNERS),
        Figure(
            name="lin_ucb_mmr over matrix factorization",
            value=rates["lin_ucb_mmr"] / rates[CONTROL],
            reference=_LEARNING_SHARE,
            source="bar",
            gated=False,
            digits=2,
        ),
        Figure(
            name="peak memory of a process, MB",
            value=max(memory, peak_memory_mb()),
            gated=False,
            digits=0,
        ),
    ]
    values = np.array([rollout, *rates.values()])
    names = ["rollout", *rates]
    claim = ACCEPTANCE["T11"]
    return Finding(
        key=claim.key,
        title=claim.title,
        source=claim.source,
        evidence=claim.evidence,
        tolerance=claim.tolerance,
        verdict=Verdict.MEASURED,
        reason="Rates of one short run by the wall clock, whatever else the machine did; "
        "benchmarks/simulate.py measures them with care.",
        figures=tuple(figures),
        plot=Plot(
            x_title="what was run",
            categories=tuple(names),
            y_title="pages a second on one core",
            y_log=True,
            lines=(
                Line(
                    name="measured",
                    role="simulated",
                    x=np.arange(1.0, values.size + 1),
                    y=values,
                    dots=True,
                ),
                Line(
                    name="bar",
                    role="literature",
                    x=np.array([1.0, float(values.size)]),
                    y=np.full(2, _PAGES_GATE),
                ),
            ),
        ),
        gated=False,
    )


def _error(difference: dict[str, Any]) -> float:
    return float((difference["high"] - difference["low"]) / (2.0 * _NORMAL_95))


def _rate(name: str, value: float, reference: float = np.nan, source: str = "bar") -> Figure:
    return Figure(
        name=name,
        value=value,
        reference=reference,
        source=source if reference == reference else "",
        gated=False,
        digits=0,
    )
