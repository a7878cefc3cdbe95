import json
from typing import Any

import numpy as np
import pytest

from matinee_policies.diversity import (
    DPP,
    MMR,
    Calibrated,
    Diversity,
    SlateConfig,
    XQuAD,
    diversity_of,
)
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.greedy_slates import greedy_dpp
from matinee_policies.rules import softmax_rule, votes_rule
from matinee_policies.score_order import ScoreOrderConfig
from matinee_policies.slate import SlateProblem
from matinee_policies.softmax import Softmax, SoftmaxConfig
from matinee_policies.testing_data import example_contexts, example_keys


class OwnKind(MMR):
    """A kind that no compiled code knows."""


@pytest.mark.parametrize("kind", ["mmr", "dpp", "calibrated", "xquad"])
def test_a_kind_without_a_price_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"diversity of kind {kind} must have a price, got"):
        SlateConfig.from_json({"diversity": {"kind": kind}})
    written = SlateConfig.from_json({"diversity": {"kind": kind, "price": 0}})
    assert isinstance(written.diversity, Diversity)
    assert written.diversity.price == 0


@pytest.mark.parametrize("kind", [MMR, DPP, Calibrated, XQuAD])
def test_a_kind_in_python_needs_a_price_too(kind: Any) -> None:
    with pytest.raises(TypeError, match="price"):
        kind()
    with pytest.raises(ConfigError, match="price"):
        kind.from_json({})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"kind": ["dpp"], "price": 0.1}, r"kind of diversity must be one of .*, got \['dpp'\]"),
        ({"kind": {}, "price": 0.1}, "kind of diversity must be one of"),
        ({"price": 0.1}, "kind of diversity must be one of .*, got None"),
        (Diversity(price=0.1), r"of kind mmr, .* got Diversity\(price=0.1\)"),
        (OwnKind(price=0.1), r"of kind mmr, .* got OwnKind\(price=0.1\)"),
        ({"kind": "dpp", "price": 1e308}, r"price of dpp must be <= 1e\+12, got 1e\+308"),
        (1e13, r"diversity must be <= 1e\+12, got 10000000000000.0"),
        ("0.1", "diversity must be a price, or a mapping with a kind, got '0.1'"),
        (True, "diversity must be a price, or a mapping with a kind, got True"),
    ],
)
def test_what_is_no_diversity_is_refused(setting: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        diversity_of(setting)
    with pytest.raises(ConfigError, match=message):
        ScoreOrderConfig(diversity=setting)


def test_prices_of_numpy_are_prices() -> None:
    assert diversity_of(np.float32(0.5)) == MMR(price=0.5)
    config = SlateConfig.from_json({"diversity": {"kind": "dpp", "price": np.float64(0.5)}})
    assert json.loads(json.dumps(config.to_json()))["diversity"] == {"kind": "dpp", "price": 0.5}


@pytest.mark.parametrize("price", [0.0, 1e12])
def test_at_the_largest_numbers_every_slot_has_a_law(price: float) -> None:
    contexts = example_contexts(3, decisions=20, candidates=6, dimension=1)
    policy = Softmax(SoftmaxConfig(diversity=DPP(price=price), temperature=1e-3))
    slates = policy.decide(contexts, slots=6, keys=example_keys(20))
    assert (slates.positions >= 0).all()
    assert (slates.propensities > 0).all()


def test_values_that_are_too_large_are_refused() -> None:
    contexts = example_contexts(3, decisions=2, candidates=5, dimension=1)
    values = np.zeros((2, 5))
    members = np.zeros((2, 3, 5))
    values[1, 4] = members[1, 2, 4] = -1e12
    SlateProblem(contexts, values, votes_rule(), members=members)
    members[1, 2, 4] = 2e12
    with pytest.raises(ContextError, match=r"to member 2 must be in \[-1e\+12, 1e\+12\], got 2"):
        SlateProblem(contexts, values, votes_rule(), members=members)
    values[1, 4] = -1e300
    with pytest.raises(
        ContextError,
        match=r"candidate 4 of decision 1 must be in \[-1e\+12, 1e\+12\], got -1e\+300",
    ):
        SlateProblem(contexts, values, softmax_rule(1.0))
    with pytest.raises(ConfigError, match=r"price must be <= 1e\+12"):
        greedy_dpp(np.zeros((1, 2)), np.eye(2)[None], slots=2, price=1e13)
