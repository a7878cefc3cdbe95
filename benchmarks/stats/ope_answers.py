"""What the shipped call `evaluate` says of one log of simulated users, by its defaults."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from matinee_platform.ope import evaluate
from matinee_platform.ope.evaluation import Evaluation
from matinee_platform.ope.inputs.item_genres import GENRE
from matinee_platform.ope.inputs.policy_log import DecidedPart, PolicyLog
from matinee_platform.ope.interval import RewardRange
from matinee_policies.arrays import Int64Array
from matinee_policies.features import FEATURE_NAMES
from stats.ope_world import SLOTS, UNIFORM, Pages, policy_of

INTERVALS = ("default", "cressie_read", "empirical_bernstein", "bootstrap", "anytime")
"""The first of every value, and the others besides."""

_AT_ONCE = 512


def log_of(pages: Pages, logging: dict[str, Any], *, genres: Int64Array) -> PolicyLog:
    """The log as `evaluate` takes it.

    Args:
        pages: of one log.
        logging: policy that chose.
        genres: of each item, `int64 [M]`.
    """
    logger = policy_of(logging)

    def parts(with_features: bool) -> Iterator[Sequence[DecidedPart]]:
        for start in range(0, len(pages), _AT_ONCE):
            some = pages.take(np.arange(start, min(start + _AT_ONCE, len(pages))))
            yield [
                DecidedPart(
                    place=np.arange(len(some)),
                    unit=some.unit,
                    time=some.time,
                    contexts=some.contexts,
                    positions=some.positions,
                    items=some.contexts.candidates,
                    logged=some.logged,
                    rewards=some.clicks,
                    logger=logger,
                    version=0,
                )
            ]

    return PolicyLog(
        name="simulated users",
        arm="logging",
        parts=parts,
        slots=SLOTS,
        dimension=len(FEATURE_NAMES),
        decisions=len(pages),
        rewards=RewardRange(),
        genres=genres,
    )


def said_of(
    pages: Pages, logging: dict[str, Any], target: dict[str, Any], *, genres: Int64Array
) -> Evaluation:
    """All estimators that `evaluate` has by default, with genres as clusters.

    A uniform log is asked for replay too, which is for such logs alone; arguments as `log_of`.
    """
    log = log_of(pages, logging, genres=genres)
    if logging == UNIFORM:
        return evaluate(log, target, estimators=["replay", "ips", "sn_rips"])
    return evaluate(log, target, intervals=INTERVALS, clusters=GENRE)
