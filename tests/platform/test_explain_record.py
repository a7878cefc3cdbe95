"""Decisions of the live service, explained from their records."""

from dataclasses import replace

import numpy as np
import pytest

from matinee_platform.decision_keys import decision_keys
from matinee_platform.explain import CandidateOrder, explain_record, parse_decision_id
from matinee_platform.storage.records import DecisionRecord, ServedBy
from matinee_policies import PAD, ConfigError, ContextBatch, ContextError, Policy, build_policy
from matinee_policies.testing_data import example_contexts, example_outcomes

SECRET, ID, D, L = bytes(range(16)), 2**63 + 11, 4, 3
MIXTURE = {
    "bases": [
        {"kind": "lin_ucb", "weight": 0.5, "policy": {"floor": 0.1}},
        {"kind": "uniform", "weight": 0.5},
    ]
}


@pytest.fixture(name="context")
def _context() -> ContextBatch:
    return example_contexts(2, decisions=1, candidates=8, dimension=D)


def policy_of(kind: str) -> Policy:
    policy = build_policy(kind, MIXTURE if kind == "mixture" else {}, dimension=D)
    policy.learn(example_outcomes(1, slates=30, dimension=D))
    return policy


def record_of(
    policy: Policy, context: ContextBatch, *, served_by: ServedBy = ServedBy.POLICY
) -> DecisionRecord:
    ids = np.array([ID], dtype=np.uint64)
    slates = policy.decide(context, slots=L, keys=decision_keys(SECRET, ids))
    return DecisionRecord(
        decision_id=ID,
        body_digest=bytes(16),
        experiment="e",
        arm="a",
        unit=1,
        bucket=0,
        decided_at=0,
        page=0,
        snapshot=0,
        feature_version=0,
        catalogue_version=0,
        served_by=served_by,
        last_watched=-1,
        unit_state=b"",
        candidates=context.candidates[0].tobytes(),
        scores=context.scores[0].tobytes(),
        slate=slates.items[0].tobytes(),
        propensities=slates.propensities[0].tobytes(),
        base=None if slates.base is None else int(slates.base[0]),
        base_propensity=None
        if slates.base_propensity is None
        else float(slates.base_propensity[0]),
    )


@pytest.mark.parametrize("kind", ["lin_ucb", "softmax", "mixture"])
def test_a_record_follows_from_its_context_policy_and_secret(
    kind: str, context: ContextBatch
) -> None:
    policy = policy_of(kind)
    record = record_of(policy, context)
    found = explain_record(record, context=context, policy=policy, secret=SECRET)
    assert found.follows, found.faults
    assert found.base == (record.base or 0)
    assert explain_record(record, context=context, policy=policy, secret=None).follows
    values = np.frombuffer(record.propensities).copy()
    values[1] = np.nextafter(values[1], 0.0)
    changed = replace(record, propensities=values.tobytes())
    found = explain_record(changed, context=context, policy=policy, secret=SECRET)
    assert found.faults[0].startswith("slot 1: propensity is ")
    # The law of LinUCB is narrow: most draws give one slate.
    if kind != "lin_ucb":
        found = explain_record(record, context=context, policy=policy, secret=bytes(16))
        assert not found.follows


@pytest.mark.parametrize("served_by", [ServedBy.FALLBACK, ServedBy.DEFAULT])
def test_what_the_policy_did_not_choose_is_held_against_the_order(
    served_by: ServedBy, context: ContextBatch
) -> None:
    policy = policy_of("lin_ucb")
    record = record_of(CandidateOrder(), context, served_by=served_by)
    found = explain_record(record, context=context, policy=policy, secret=SECRET)
    assert (found.kind, found.follows) == ("candidate_order", True)
    assert [slot.position for slot in found.slots] == [0, 1, 2]
    other = record_of(policy, context, served_by=served_by)
    found = explain_record(other, context=context, policy=policy, secret=SECRET)
    assert not found.follows


def test_short_rows_leave_empty_slots(context: ContextBatch) -> None:
    context.candidates[0, 2:] = PAD
    policy = policy_of("softmax")
    record = record_of(policy, context)
    found = explain_record(record, context=context, policy=policy, secret=SECRET)
    assert found.follows, found.faults
    assert [slot.empty for slot in found.slots] == [0.0, 0.0, 1.0]


def test_a_context_of_other_candidates_is_refused(context: ContextBatch) -> None:
    policy = policy_of("softmax")
    record = record_of(policy, context)
    other = example_contexts(3, decisions=1, candidates=8, dimension=D)
    with pytest.raises(ContextError, match="must be of the record's candidates"):
        explain_record(record, context=other, policy=policy, secret=SECRET)


def test_the_order_of_candidates_survives_a_snapshot() -> None:
    assert CandidateOrder.from_snapshot(CandidateOrder().snapshot()).config is not None


@pytest.mark.parametrize("text", ["", "-1", "18446744073709551616", "0x12", "1_0", "zz", "1" * 30])
def test_texts_that_are_no_decision_ids_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="decision id must be 16 hexadecimal digits"):
        parse_decision_id(text)


def test_items_that_callers_gave_are_numbered_within_their_page(context: ContextBatch) -> None:
    """A context over a caller's features has places for items; the log has the rows of names."""
    policy = policy_of("softmax")
    rows = np.arange(100, 100 + context.candidates.shape[1], dtype=np.int32)[::-1].copy()
    numbered = ContextBatch(
        candidates=np.arange(rows.size, dtype=np.int32)[None],
        features=context.features,
        scores=context.scores,
        embeddings=context.embeddings[context.candidates[0]],
    )
    record = record_of(policy, numbered)
    places = np.frombuffer(record.slate, dtype="<i4")
    named = replace(record, candidates=rows.tobytes(), slate=rows[places].tobytes())
    found = explain_record(named, context=numbered, policy=policy, secret=SECRET)
    assert found.follows, found.faults
    assert [slot.item for slot in found.slots] == places.tolist()
    strange = replace(named, slate=(rows[places] + 50).tobytes())
    assert not explain_record(strange, context=numbered, policy=policy, secret=SECRET).follows
