"""All checks by key: the facts of the film scenario, then the acceptance tests.

A check is a function of a `Context`, which makes and keeps what several of them look at. Checks of
one group look at the same rollouts, so a group is run by one process.
"""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from matinee_platform.validation.claims import ACCEPTANCE
from matinee_platform.validation.equal_arms import control_is_flat, halves_agree
from matinee_platform.validation.equations import equations_point_right
from matinee_platform.validation.evidence import Evidence, Request
from matinee_platform.validation.exact_world import optimum_is_right
from matinee_platform.validation.page_oracle import oracle_beats_swaps
from matinee_platform.validation.rankings import clicks_are_not_visits, variety_has_an_optimum
from matinee_platform.validation.recovery import parameters_are_recovered
from matinee_platform.validation.same_bytes import same_bytes
from matinee_platform.validation.size import FULL
from matinee_policies.errors import ConfigError
from matinee_simulator.rollout import Ranker, popularity_order, random_order, relevance_order
from matinee_simulator.stylised_facts import (
    FACTS,
    Breadth,
    Finding,
    Verdict,
    activity,
    churn,
    come_once,
    consume,
    depth_and_return,
    diverse_stay,
    fact,
    personalisation,
    popularity_and_quality,
    popularity_inequality,
    position_curve,
    rating_biases,
    rating_shape,
    retention_curve,
    session_ends,
    single_ratings,
    spectrum_of_population,
    tail,
    taste_spectrum,
    zipf,
)

FACTS_HOLD = "T9"
"""Key of the acceptance test that gathers the facts; the runner makes it from their findings."""

_TASTE_USERS = 2_000


if TYPE_CHECKING:
    from matinee_platform.validation.learned import LearnedRun


class Context:
    """What the checks of one process share.

    Args:
        request: what is validated.
    """

    def __init__(self, request: Request) -> None:
        self.evidence = Evidence(request)

    @cached_property
    def learned(self) -> "LearnedRun":
        """The platform's own run."""
        from matinee_platform.validation.learned import LearnedRun

        return LearnedRun(self.evidence)


Check = Callable[[Context], Finding]


def _fact_1(context: Context) -> Finding:
    e = context.evidence
    return popularity_inequality(
        e.histories, e.real_ratings, whole=e.whole_histories, published=e.published
    )


def _fact_2(context: Context) -> Finding:
    e = context.evidence
    return zipf(e.histories, e.real_ratings, published=e.published)


def _fact_3(context: Context) -> Finding:
    e = context.evidence
    return tail(e.histories, e.real_ratings, published=e.published)


def _fact_4(context: Context) -> Finding:
    return activity(context.evidence.histories, context.evidence.real_ratings)


def _fact_5(context: Context) -> Finding:
    e = context.evidence
    return single_ratings(
        e.histories, e.real_ratings, whole=e.whole_histories, published=e.published
    )


def _fact_6(context: Context) -> Finding:
    e = context.evidence
    return rating_shape(e.histories, e.real_ratings, published=e.published)


def _fact_7(context: Context) -> Finding:
    e = context.evidence
    return popularity_and_quality(e.histories, e.real_ratings, published=e.published)


def _fact_8(context: Context) -> Finding:
    e = context.evidence
    return rating_biases(e.histories, e.real_ratings, published=e.published)


def _fact_17(context: Context) -> Finding:
    e = context.evidence
    played = [e.played(random_order(), seed) for seed in e.seeds]
    return position_curve(
        [one.slot_impressions for one in played],
        [one.slot_clicks for one in played],
        persistence=e.parameters.examination_persistence,
        click_model=e.parameters.click_model,
    )


def _fact_21(context: Context) -> Finding:
    return personalisation(
        _breadths(context.evidence, relevance_order()),
        _breadths(context.evidence, popularity_order()),
    )


def _breadths(evidence: Evidence, ranker: Ranker) -> list[Breadth]:
    return [
        Breadth(
            clicks=played.clicks_per_user().value,
            diversity=played.ild,
            coverage=played.coverage(),
        )
        for played in (evidence.played(ranker, seed) for seed in evidence.seeds)
    ]


def _fact_22(context: Context) -> Finding:
    e = context.evidence
    if e.parameters.catalogue_moves:
        return fact(22).without(
            Verdict.NOT_APPLICABLE, "Its fixed rankings cannot be shown from a moving catalogue."
        )
    return diverse_stay(
        consume(
            e.world,
            e.sight,
            e.parameters,
            users=e.size.consumption_users,
            seed=e.request.seed,
        )
    )


# What runs the platform loads all of it, which takes seconds: only where it is asked for.
def _fact_23(context: Context) -> Finding:
    from matinee_platform.validation.learned import learned_effects

    return learned_effects(context.learned)


def _t11(context: Context) -> Finding:
    from matinee_platform.validation.learned import speed_and_memory

    return speed_and_memory(context.evidence, context.learned)


def _t12(context: Context) -> Finding:
    from matinee_platform.validation.arrivals import exploration_pays_off

    return exploration_pays_off(context.evidence)


def _fact_24(context: Context) -> Finding:
    e = context.evidence
    return taste_spectrum(
        [
            spectrum_of_population(e.world, e.parameters, users=_TASTE_USERS, seed=seed)
            for seed in e.seeds
        ]
    )


def _t6(context: Context) -> Finding:
    e = context.evidence
    return oracle_beats_swaps(
        e.world, e.parameters, pages=e.size.pages, swaps=e.size.swaps, seed=e.request.seed
    )


def _t8(context: Context) -> Finding:
    if context.evidence.size.name != FULL.name:
        return ACCEPTANCE["T8"].without(
            Verdict.NOT_RUN, "The quick form has too few users to tell; the full one runs it."
        )
    return variety_has_an_optimum(context.evidence)


def _t10(context: Context) -> Finding:
    e = context.evidence
    return parameters_are_recovered(
        e.world,
        e.parameters,
        users=e.size.recovery_users,
        days=e.size.recovery_days,
        seed=e.request.seed,
    )


GROUPS: dict[str, dict[str, Check]] = {
    "rankings": {
        "fact-9": lambda c: session_ends(c.evidence.visits),
        "fact-12": lambda c: come_once(c.evidence.visits),
        "fact-13": lambda c: retention_curve(c.evidence.visits),
        "fact-14": lambda c: churn(c.evidence.visits),
        "fact-16": lambda c: depth_and_return(c.evidence.visits),
        "fact-17": _fact_17,
        "fact-21": _fact_21,
        "T4": lambda c: control_is_flat(c.evidence),
        "T7": lambda c: clicks_are_not_visits(c.evidence),
        "T8": _t8,
    },
    "learning": {
        "fact-23": _fact_23,
        "T11": _t11,
    },
    "arrivals": {"T12": _t12},
    "halves": {"T3": lambda c: halves_agree(c.evidence)},
    "ratings": {
        "fact-1": _fact_1,
        "fact-2": _fact_2,
        "fact-3": _fact_3,
        "fact-4": _fact_4,
        "fact-5": _fact_5,
        "fact-6": _fact_6,
        "fact-7": _fact_7,
        "fact-8": _fact_8,
        "fact-24": _fact_24,
    },
    "consumption": {"fact-22": _fact_22},
    "tabular": {
        "T5": lambda c: optimum_is_right(
            lifetimes=c.evidence.size.lifetimes, seed=c.evidence.request.seed
        )
    },
    "pages": {
        "T1": lambda c: equations_point_right(c.evidence.parameters, seed=c.evidence.request.seed),
        "T2": lambda c: same_bytes(
            c.evidence.world, c.evidence.parameters, seed=c.evidence.request.seed
        ),
        "T6": _t6,
        "T10": _t10,
    },
}
"""Checks by group, the longest group first."""

KEYS: tuple[str, ...] = (*(claim.key for claim in FACTS), *ACCEPTANCE)
"""Keys of all facts and tests, in the order in which they are shown."""


def wanted_keys(words: Iterable[str]) -> tuple[str, ...]:
    """Keys that a user asked for, in order; all of them for no words.

    Args:
        words: keys, numbers of facts, `facts` or `tests`, each perhaps several with commas.

    Raises:
        ConfigError: naming a word that is none of these.

    Example:
        >>> wanted_keys(["2,t5", "fact-1"])
        ('fact-1', 'fact-2', 'T5')
    """
    asked: set[str] = set()
    for word in (part.strip() for text in words for part in text.split(",")):
        found = _KEYS_OF.get(word.lower())
        if found is None:
            raise ConfigError(
                f"--only must name facts (1 to {len(FACTS)}), tests (T1 to T{len(ACCEPTANCE)}), "
                f"'facts' or 'tests', got {word!r}"
            )
        asked.update(found)
    return tuple(key for key in KEYS if not asked or key in asked)


_KEYS_OF: dict[str, tuple[str, ...]] = {
    **{key.lower(): (key,) for key in KEYS},
    **{claim.key.removeprefix("fact-"): (claim.key,) for claim in FACTS},
    "facts": tuple(claim.key for claim in FACTS),
    "tests": tuple(ACCEPTANCE),
}
