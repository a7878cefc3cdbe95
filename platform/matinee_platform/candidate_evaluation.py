"""Evaluate candidate sources on a dataset: which sources, which split, and one record of numbers.

What is measured is in `matinee_policies.candidates.evaluate`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from matinee_platform.pseudonyms import pseudonyms
from matinee_platform.settings import SourceSettings
from matinee_policies.candidates.candidate_source import fit_source
from matinee_policies.candidates.evaluate import RankingScores, SourceScores, evaluate_source
from matinee_policies.candidates.metrics import Estimate
from matinee_policies.candidates.registry import candidate_kinds
from matinee_policies.candidates.source_data import SourceData, Units
from matinee_policies.datasets.dataset import Dataset
from matinee_policies.errors import ConfigError, MatineeError
from matinee_policies.interactions import Interactions

HELD_OUT = 0.2
"""Share of each user's ratings that are held out, the last ones by time."""

_SPLIT = f"each user's last {HELD_OUT:.0%} of ratings by time are held out"
_INTERVALS = "95 %, normal approximation over users (delta method for ratios)"
_SECRET = b"keys of one evaluation, never stored"


def fitted_sources() -> dict[str, SourceSettings]:
    """Every kind that is fitted here, with its defaults, by its kind."""
    return {kind: SourceSettings(kind=kind) for kind in candidate_kinds()}


def chosen_sources(
    sources: Mapping[str, SourceSettings], names: Sequence[str]
) -> dict[str, SourceSettings]:
    """Some sources by name, in the order named; all of them if none is named.

    Raises:
        ConfigError: on an unknown name.
    """
    for name in names:
        if name not in sources:
            raise ConfigError(f"sources must be of {', '.join(sources)}, got {name!r}")
    return {name: sources[name] for name in names} if names else dict(sources)


def evaluate_candidates(
    dataset: Dataset,
    sources: Mapping[str, SourceSettings],
    *,
    ks: Sequence[int],
    seed: int,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Fit and score every source.

    Args:
        dataset: with ratings and their times.
        sources: what to fit, by name.
        ks: numbers of candidates, each within 1 and the number of items.
        seed: of the fits.
        report: told which source is being fitted.

    Raises:
        MatineeError: on a bad k, or a source that cannot be fitted; it is named.
    """
    ks = sorted(set(ks))
    if not ks or ks[0] < 1 or ks[-1] > len(dataset.catalogue):
        raise ConfigError(f"k must be within 1 and {len(dataset.catalogue)} items, got {ks}")
    train, test = dataset.interactions.split_by_time(HELD_OUT)
    if test.matrix.nnz == 0:
        raise ConfigError("no user has enough ratings to hold some out; 5 are needed")
    data = _source_data(dataset, train)
    scores: dict[str, Any] = {}
    for name, source in sources.items():
        report(name)
        fit = partial(
            fit_source,
            source.kind,
            source.settings,
            data,
            seed=seed,
            object_name=source.object,
        )
        try:
            scores[name] = _source_record(evaluate_source(fit, data, test, ks))
        except MatineeError as error:
            raise ConfigError(f"{name}: {error}") from error
    return {
        "data": dataset.description,
        "split": _SPLIT,
        "intervals": _INTERVALS,
        "seed": seed,
        "users": train.n_users,
        "users_with_held_out": int((test.user_counts() > 0).sum()),
        "items": train.n_items,
        "ratings": {"train": int(train.matrix.nnz), "held_out": int(test.matrix.nnz)},
        "k": ks,
        "sources": scores,
    }


def _source_data(dataset: Dataset, train: Interactions) -> SourceData:
    key_of = partial(pseudonyms, secret=_SECRET)
    users = dataset.user_labels or [str(user) for user in train.user_ids.tolist()]
    return SourceData(
        catalogue=dataset.catalogue,
        interactions=train,
        known_items=dataset.catalogue.ids,
        item_labels=dataset.item_labels,
        units=Units(
            keys=key_of(users),
            histories=lambda: train,
            key_of=key_of,
            example=users[0],
        ),
    )


def _source_record(scores: SourceScores) -> dict[str, Any]:
    return {
        "kind": scores.kind,
        "fit_seconds": scores.seconds,
        "rmse": _record(scores.rmse),
        "mae": _record(scores.mae),
        "at": {str(at.k): _ranking_record(at) for at in scores.at},
        "note": scores.note,
    }


def _ranking_record(scores: RankingScores) -> dict[str, Any]:
    return {
        "recall": _record(scores.recall),
        "ndcg": _record(scores.ndcg),
        "novelty": _record(scores.novelty),
        "coverage": scores.coverage,
    }


def _record(estimate: Estimate | None) -> dict[str, Any] | None:
    """JSON knows no NaN: an interval that does not exist is null."""
    if estimate is None:
        return None
    low, high = (None if math.isnan(end) else end for end in (estimate.low, estimate.high))
    return {"value": estimate.value, "low": low, "high": high, "users": estimate.users}
