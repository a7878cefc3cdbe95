"""What every arm's final policy would show the same unit on the same logged page.

The page is one of the control's: its candidates, scores and unit state. An arm whose candidates
come from another source orders these same candidates by its own source's scores where those are the
same for everyone (popularity); otherwise its slate cannot be made again from the log, and the
reason is given instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from matinee_platform.analysis.logged_sample import LoggedSample
from matinee_platform.context_builder import ContextBuilder
from matinee_platform.decision_keys import SECRET_BYTES, decision_keys
from matinee_platform.log_rows import pack_state, unpack_state
from matinee_policies.arrays import Float32Array, FloatArray, IndexArray
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.features import UnitStateBatch
from matinee_policies.policy import Policy
from matinee_policies.records import PAD, ContextBatch

_KEY = b"slate examples".ljust(SECRET_BYTES, b".")
_LATE = 2 / 3


@dataclass(frozen=True, slots=True)
class ArmPolicy:
    """An arm as it stood at the end of a run.

    Attributes:
        name: of the arm.
        source: name of its candidate source.
        policy: restored from its last snapshot; None for a reference arm, whose scores are the
            simulator's truth and not in the log.
        contexts: builds what the policy sees, under the rules of the arm's pages.
    """

    name: str
    source: str
    policy: Policy | None
    contexts: ContextBuilder


@dataclass(frozen=True, slots=True)
class ArmSlate:
    """What one arm would show.

    Attributes:
        arm: name of the arm.
        items: catalogue rows, `int32 [L]`, -1 for empty slots; empty without an answer.
        propensities: probability of each item given those above, `float64 [L]`.
        note: what to know about the answer, or why there is none.
    """

    arm: str
    items: IndexArray
    propensities: FloatArray
    note: str = ""


@dataclass(frozen=True, slots=True)
class ExamplePage:
    """One logged page, with the slate of every arm.

    Attributes:
        unit: pseudonym.
        day: of the run.
        page: within the session.
        last_watched: catalogue row, -1 for none.
        genres: columns of the unit's most watched genres, most first.
        slates: one per arm.
    """

    unit: int
    day: int
    page: int
    last_watched: int
    genres: tuple[int, ...]
    slates: tuple[ArmSlate, ...]


def slate_examples(
    sample: LoggedSample,
    arms: list[ArmPolicy],
    *,
    source: str,
    sources: Mapping[str, object],
    count: int = 3,
) -> list[ExamplePage]:
    """Pages of distinct units, late in the run if there are any, with the slate of every arm.

    Args:
        sample: logged decisions of one arm.
        arms: whose slates to make.
        source: candidate source of the arm that logged the sample.
        sources: models of the candidate sources by name.
        count: pages wanted.
    """
    rows = _chosen(sample, count)
    if not rows.size:
        return []
    contexts = sample.contexts.rows(rows)
    state = _state_rows(sample.state, rows)
    keys = decision_keys(_KEY, sample.ids[rows])
    slots = sample.positions.shape[1]
    per_arm = [
        _arm_slates(arm, contexts, state, keys, slots, source=source, sources=sources)
        for arm in arms
    ]
    return [
        ExamplePage(
            unit=int(sample.unit[row]),
            day=int(sample.day[row]),
            page=int(sample.page[row]),
            last_watched=int(sample.state.last_watched[row]),
            genres=_top_genres(sample.state.genre_history[row]),
            slates=tuple(slates[place] for slates in per_arm),
        )
        for place, row in enumerate(rows.tolist())
    ]


def _chosen(sample: LoggedSample, count: int) -> IndexArray:
    """Rows of first pages of distinct units who have watched something, late ones first."""
    known = (sample.page == 0) & (sample.state.last_watched >= 0)
    late = sample.day >= _LATE * int(sample.day.max())
    preference = np.lexsort((sample.ids, ~late, ~known))
    _, first = np.unique(sample.unit[preference], return_index=True)
    return preference[np.sort(first)[:count]].astype(np.int32)


def _arm_slates(
    arm: ArmPolicy,
    contexts: ContextBatch,
    state: UnitStateBatch,
    keys: "np.ndarray[tuple[int, ...], np.dtype[np.uint64]]",
    slots: int,
    *,
    source: str,
    sources: Mapping[str, object],
) -> list[ArmSlate]:
    note, scores = "", contexts.scores
    if arm.policy is not None and arm.source != source:
        impersonal = _impersonal_scores(sources.get(arm.source), contexts.candidates)
        if impersonal is None:
            return [_none(arm, f"its candidates come from {arm.source!r}, not in this log")] * len(
                contexts
            )
        scores = impersonal
        note = f"orders these candidates by {arm.source!r}; its own candidates are others"
    if arm.policy is None:
        return [_none(arm, "knows the simulator's truth, which is not in the log")] * len(contexts)
    under_rules = arm.contexts.build(state, contexts.candidates, scores)
    found = arm.policy.decide(under_rules, slots=slots, keys=keys)
    return [
        ArmSlate(arm.name, shown, propensities, note)
        for shown, propensities in zip(found.items, found.propensities, strict=True)
    ]


def _impersonal_scores(source: object, candidates: IndexArray) -> Float32Array | None:
    """Scores of a source whose items have no factors, thus the same for every unit."""
    if not isinstance(source, FactorModel) or source.item_factors.any():
        return None
    raw = source.item_offset[candidates].astype(np.float64)
    scores = 1.0 / (1.0 + np.exp(-(raw - source.score_mean) / source.score_scale))
    return np.where(candidates == PAD, 0.0, scores).astype(np.float32)


def _none(arm: ArmPolicy, reason: str) -> ArmSlate:
    return ArmSlate(arm.name, np.zeros(0, dtype=np.int32), np.zeros(0), reason)


def _state_rows(state: UnitStateBatch, rows: IndexArray) -> UnitStateBatch:
    return unpack_state(pack_state(state)[rows], state.last_watched[rows])


def _top_genres(history: Float32Array, count: int = 3) -> tuple[int, ...]:
    order = np.argsort(-history, kind="stable")[:count]
    return tuple(int(genre) for genre in order if history[genre] > 0)
