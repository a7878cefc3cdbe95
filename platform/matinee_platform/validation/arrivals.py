"""T12 as a finding: what exploration gains where items arrive, for each pair of policies."""

import numpy as np

from matinee_platform.validation.claims import ACCEPTANCE
from matinee_platform.validation.evidence import Evidence
from matinee_platform.validation.exploration_pays import CLEAR, ExplorationPays, run
from matinee_platform.validation.size import FULL
from matinee_simulator.stylised_facts import Figure, Finding, Line, Plot, Verdict

_KEY = "T12"


def exploration_pays_off(evidence: Evidence) -> Finding:
    """The finding of T12; the quick form has too few users to tell."""
    request = evidence.request
    if request.size.name != FULL.name:
        return ACCEPTANCE[_KEY].without(
            Verdict.NOT_RUN, "The quick form has too few users to tell; the full one runs it."
        )
    return finding_of(run(quick=False, data=request.data, seed=request.seed))


def finding_of(found: ExplorationPays) -> Finding:
    """The experiment as a finding; the first pair is the gate, the others are told."""
    figures = []
    for place, gain in enumerate(found.gains):
        errors = max(gain.user_error, 0.0 if np.isnan(gain.seed_error) else gain.seed_error)
        figures += [
            Figure(
                name=f"{gain.pair}: clicks per user gained by exploration",
                value=gain.difference,
                standard_error=gain.user_error,
                gated=False,
            ),
            Figure(
                name="the same, in standard errors over users or seeds",
                value=gain.difference / errors if errors else 0.0,
                low=CLEAR if place == 0 else -np.inf,
                gated=place == 0,
                digits=1,
            ),
            Figure(
                name="clicks per user without exploration",
                value=gain.greedy,
                gated=False,
                digits=2,
            ),
        ]
    gains = np.array([gain.difference for gain in found.gains])
    half = 2.0 * np.array([gain.user_error for gain in found.gains])
    places = np.arange(1.0, gains.size + 1)
    return ACCEPTANCE[_KEY].finding(
        figures,
        plot=Plot(
            x_title="policy with and without exploration",
            categories=tuple(gain.pair for gain in found.gains),
            y_title=f"clicks per user gained in {found.days} days",
            lines=(
                Line(
                    name="gain, two standard errors",
                    role="simulated",
                    x=places,
                    y=gains,
                    low=gains - half,
                    high=gains + half,
                    dots=True,
                ),
                Line(
                    name="no gain",
                    role="literature",
                    x=np.array([1.0, max(places[-1], 2.0)]),
                    y=np.zeros(2),
                ),
            ),
        ),
        explain="Either the users are too few to tell, or what is shown anyway teaches enough.",
    )
