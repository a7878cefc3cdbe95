"""The acceptance tests of the simulated users: what each claims, and what counts as met."""

from matinee_simulator.stylised_facts import Claim

_OURS = "acceptance tests of the simulated users"
_EXACT = "exact: the truth is known"
_STATISTICAL = "statistical, with standard errors over users"

ACCEPTANCE: dict[str, Claim] = {
    claim.key: claim
    for claim in (
        Claim(
            key="T1",
            title="Each term of the equations moves its probability the right way",
            source=_OURS,
            evidence=_EXACT,
            tolerance="no state among those sampled moves the wrong way",
        ),
        Claim(
            key="T2",
            title="Same seed, same bytes, in any batch",
            source=_OURS,
            evidence=_EXACT,
            tolerance="all digests equal",
        ),
        Claim(
            key="T3",
            title="Two halves under the same policy differ by chance alone",
            source=_OURS,
            evidence=_STATISTICAL,
            tolerance="within two standard errors in at least 89 of 100 seeds",
        ),
        Claim(
            key="T4",
            title="Without an effect of satisfaction, no policy changes who returns",
            source=_OURS,
            evidence=_EXACT,
            tolerance="retention_sensitivity 0: every user visits on the same days under every "
            "policy, while clicks differ",
        ),
        Claim(
            key="T5",
            title="The optimum of the tabular world is right, and can be learned",
            source=_OURS,
            evidence=_EXACT,
            tolerance="Monte Carlo within three standard errors of value iteration for every "
            "policy; Q-learning reaches 98 % of the optimum",
        ),
        Claim(
            key="T6",
            title="No random swap beats the oracle's page",
            source=_OURS,
            evidence=_EXACT,
            tolerance="without redundancy none of 1,000 swaps of a page gains clicks, in each "
            "click model; with it, none exceeds the bound",
        ),
        Claim(
            key="T7",
            title="Clicks are not visits: the click oracle wins clicks and loses users",
            source=_OURS,
            evidence=_STATISTICAL,
            tolerance="click oracle against the long-run index: higher CTR and lower D28, each "
            "with p < .001, paired by user",
        ),
        Claim(
            key="T8",
            title="Variety has an interior optimum",
            source=_OURS,
            evidence=_STATISTICAL,
            tolerance="among 300 candidates, the weight of MMR that is best on half of the "
            "populations beats both ends on the other half by two standard errors, in clicks per "
            "user, paired by user",
        ),
        Claim(
            key="T9",
            title="The stylised facts hold",
            source=_OURS,
            evidence="see each fact",
            tolerance="every gated fact passes",
        ),
        Claim(
            key="T10",
            title="The click parameters can be recovered from an exploration log",
            source=_OURS,
            evidence=_STATISTICAL,
            tolerance="gamma, a1 and a2 within three standard errors of the truth",
        ),
        Claim(
            key="T11",
            title="Speed and memory",
            source="stated goals of this project",
            evidence="measured on this machine, in this run; other work on it slows it down",
            tolerance="a measurement, never a gate",
            why_not="A measurement of one machine.",
        ),
        Claim(
            key="T12",
            title="Exploration pays when items arrive",
            source=_OURS,
            evidence=_STATISTICAL,
            tolerance="a learner that explores beats greedy on 60-day clicks",
        ),
    )
}
"""By key, in order."""
