"""Laws of a slot as estimators weigh them: by brute force, and where a slot stays empty."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from matinee_platform.ope.inputs.policy_log import (
    DecidedPart,
    LogCheck,
    PartsOf,
    PolicyLog,
    weighed,
)
from matinee_platform.ope.inputs.run_log import run_log
from matinee_policies.policy import Policy
from matinee_policies.records import PAD
from matinee_policies.registry import build_policy

SLOTS = 3


def first_rows(log: PolicyLog, rows: int) -> PolicyLog:
    def parts(with_features: bool) -> Iterator[Sequence[DecidedPart]]:
        first = next(iter(log.parts(with_features)))[0]
        yield [first.rows(np.arange(rows))]

    return replace(log, parts=parts)


def test_laws_of_a_slot_against_every_continuation(explored: Path) -> None:
    """Reach, largest weight and expectation from `propensities` of all slates, at each slot."""
    log = first_rows(run_log(explored, "order"), 6)
    log = replace(log, parts=_told_by(log, build_policy("softmax", {"top": 4}, dimension=11)))
    target = build_policy("softmax", {"top": 6, "temperature": 0.4}, dimension=11)

    class Numbers:
        """A model that predicts the item's number."""

        kind = "numbers"

        def predict(
            self, unit: object, *, slots: object, items: object, features: object
        ) -> object:
            return np.asarray(items, dtype=np.float64) / 1e4

    check = LogCheck()
    (batch,) = weighed(log, target, model=Numbers(), check=check)  # type: ignore[arg-type]
    ((part,),) = log.parts(True)
    assert check.unequal == 0
    assert part.logger is not None
    K = part.contexts.candidates.shape[1]
    for row in range(6):
        one = part.contexts.rows(np.array([row]))
        for slot in range(SLOTS):
            prefix = part.positions[row, :slot].tolist()
            free = [k for k in range(K) if k not in prefix]
            slates = np.array(
                [[*prefix, k, *[o for o in free if o != k]][:SLOTS] for k in free], dtype=np.int32
            )
            copies = one.rows(np.zeros(len(free), dtype=np.int64))
            would = target.propensities(copies, slates)[:, slot]
            could = part.logger.propensities(copies, slates)[:, slot]
            assert batch.unreachable[row, slot] == pytest.approx(would[could == 0].sum(), abs=1e-12)
            assert batch.largest is not None
            reach = could > 0
            most = (would[reach] / could[reach]).max()
            assert batch.largest[row, slot] == pytest.approx(most, rel=1e-12)
            items = part.items[row, free] / 1e4
            assert batch.expected is not None
            assert batch.expected[row, slot] == pytest.approx((would * items).sum(), rel=1e-12)
    assert batch.unreachable.max() > 0.01


def _told_by(log: PolicyLog, logger: Policy) -> PartsOf:
    """The same decisions as if another policy had logged them."""

    def parts(with_features: bool) -> Iterator[Sequence[DecidedPart]]:
        for together in log.parts(with_features):
            told = []
            for part in together:
                keys = np.arange(len(part), dtype=np.uint64)
                slates = logger.decide(part.contexts, slots=SLOTS, keys=keys)
                told.append(
                    replace(
                        part,
                        positions=slates.positions,
                        logged=slates.propensities,
                        logger=logger,
                    )
                )
            yield told

    return parts


def test_empty_slots_earn_nothing(explored: Path) -> None:
    log = first_rows(run_log(explored, "soft"), 4)

    def parts(with_features: bool) -> Iterator[Sequence[DecidedPart]]:
        ((part,),) = log.parts(with_features)
        contexts = replace(part.contexts, candidates=part.contexts.candidates.copy())
        contexts.candidates[:, 2:] = PAD
        positions = np.array([[0, 1, PAD]] * 4, dtype=np.int32)
        logger = build_policy("softmax", {}, dimension=11)
        yield [
            replace(
                part,
                contexts=contexts,
                positions=positions,
                logger=logger,
                logged=logger.propensities(contexts, positions),
                rewards=np.array([[1.0, 0.0, 0.0]] * 4),
            )
        ]

    target = build_policy("uniform", {}, dimension=11)
    (batch,) = weighed(replace(log, parts=parts), target, model=None, check=LogCheck())
    assert (batch.target[:, 2] == 1).all()
    assert (batch.logged[:, 2] == 1).all()
    assert (batch.unreachable == 0).all()
