"""Parsed actions in many sets: the same laws and the same learning as whole texts."""

from typing import Any

import numpy as np
import pylibvw
import pytest

from matinee_policies import ContextError
from matinee_policies.vw_action_sets import ActionSets, open_action_sets

OPTIONS = ["--cb_explore_adf", "--squarecb", "--interactions", "ca", "--bit_precision", "12"]
ITEMS = [f"|a {j}:{0.1 * j + 0.3:.3f} 9:1" for j in range(8)]


def made_up_events(count: int) -> list[tuple[str, list[int], int, str]]:
    """Context, actions, place of the chosen one, label."""
    rng = np.random.default_rng(0)
    events = []
    for _ in range(count):
        actions = rng.permutation(8)[: int(rng.integers(2, 8))].tolist()
        label = f"0:{-rng.random():.4f}:{rng.uniform(0.1, 1.0):.4f}"
        context = f"shared |c x:{rng.normal():.4f}"
        events.append((context, actions, int(rng.integers(len(actions))), label))
    return events


def test_items_parsed_once_give_and_learn_what_whole_texts_do() -> None:
    """A real Vowpal Wabbit that parses every event anew is the oracle."""
    oracle: Any = pylibvw.vw(["--quiet", "--noconstant", *OPTIONS])
    with ActionSets(OPTIONS) as sets:
        items = sets.parse("\n".join(ITEMS), rows=len(ITEMS))
        for context, actions, chosen, label in made_up_events(300):
            lines = [context, *(ITEMS[item] for item in actions)]
            examples = oracle._parse("\n".join(lines))
            oracle.predict_multi(examples)
            expected = np.array(examples[0].get_action_scores())
            oracle._finish_example_multi_ex(examples)
            among = items.chosen(actions)
            for law in (
                sets.law_given(context, among),
                sets.law_of("\n".join(lines), rows=len(lines)),
            ):
                np.testing.assert_allclose(law, expected / expected.sum(), rtol=0, atol=1e-12)
            lines[1 + chosen] = f"{label} {lines[1 + chosen]}"
            examples = oracle._parse("\n".join(lines))
            oracle.learn_multi(examples)
            oracle._finish_example_multi_ex(examples)
            shared = sets.parse(context, rows=1)
            sets.learn_after(shared, f"{label} {ITEMS[actions[chosen]]}", among, chosen=chosen)
        learned = [sets._vw.get_weight(index, 0) for index in range(2**12)]
    assert learned == [oracle.get_weight(index, 0) for index in range(2**12)]
    assert np.count_nonzero(learned) > 15


def test_what_is_no_set_is_refused() -> None:
    with ActionSets(["--cb_explore_adf"]) as sets:
        with pytest.raises(ContextError, match="text of 1 examples was read as 2"):
            sets.parse("|a 0:1\n|a 1:1", rows=1)
        assert len(sets.parse("", rows=0)) == 0
        actions = sets.parse("|a 0:1\n|a 1:1", rows=2)
        with pytest.raises(ContextError, match="could not predict"):
            sets.law(actions.first(0))
    with pytest.raises(ContextError, match="workspace must be open"):
        sets.law(actions)
    with pytest.raises(ContextError, match="workspace must be open"):
        sets.release(actions)


def test_laws_that_are_not_finite_are_refused() -> None:
    with ActionSets(["--cb_explore_adf", "--softmax", "--bit_precision", "8"]) as sets:
        actions = sets.parse("|a 0:1\n|a 1:1", rows=2)
        index = sets.feature_index("a", 0)
        sets._vw.set_weight(index, 0, float("nan"))
        with pytest.raises(ContextError, match="law of Vowpal Wabbit must be probabilities"):
            sets.law(actions)


def test_a_model_goes_on_from_the_random_numbers_that_it_names() -> None:
    """Two that open one model draw alike; another seed at the start draws otherwise."""
    options = ["--cb_explore_adf", "--bag", "7", "--bit_precision", "8"]

    def learned(sets: ActionSets) -> list[float]:
        items = sets.parse("|a 0:1\n|a 1:1", rows=2)
        for _ in range(20):
            sets.learn_choice("0:-1:0.5 |a 0:1", items, chosen=0, rows=1)
        weights = [sets._vw.get_weight(index, 0) for index in range(sets._vw.num_weights())]
        assert np.count_nonzero(weights) > 1
        return weights

    with open_action_sets(options, model=None, seed=0) as first:
        began = learned(first)
        model = first.model()
    with open_action_sets(options, model=None, seed=1) as other:
        assert learned(other) != began
    went_on = []
    for _ in range(2):
        with open_action_sets(options, model=model, seed=5) as again:
            went_on.append(learned(again))
    assert went_on[0] == went_on[1] != began
