"""Contextual bandits of Vowpal Wabbit over sets of actions that are parsed once and used often.

An action set is a list of parsed actions, with a shared example in front of it or without. The same
parsed action may stand in many sets: asking for the law of a set leaves its actions as they were,
so what is parsed once serves every set that it is part of. Traps, and what is done about them:

- Parsed examples belong to the workspace until they are given back, and they must not be given back
  as part of a set that was just learned from: the statistics of such a set are spread over all of
  it, and reading them from a part of it crashes. `learn_choice` predicts the part by itself
  before it gives it back.
- A label cannot be taken off an example again: an empty one changes nothing, and another one adds
  to it. The action that is learned is therefore parsed anew, with its label.
- Laws are single precision, and RegCB's optimistic one is not even normalised: `law` divides by the
  sum in double precision.
- A model names the state of its random numbers as an option, but does not take it up when it is
  loaded, and refuses another. `open_action_sets` hands it the number that it names.
"""

import math
import re
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from matinee_policies.arrays import FloatArray, UInt8Array
from matinee_policies.errors import ContextError
from matinee_policies.vw_workspace import FAILURES, Workspace, failures

_SEED = re.compile(rb"--random_seed (\d+)")


class Actions:
    """Parsed examples; of one workspace, and of no use when that has closed."""

    __slots__ = ("examples",)

    def __init__(self, examples: list[Any]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __add__(self, other: Self) -> "Actions":
        return Actions(self.examples + other.examples)

    def first(self, count: int) -> "Actions":
        """The first of them."""
        return Actions(self.examples[:count])

    def chosen(self, places: Sequence[int]) -> "Actions":
        """Some of them, in the order asked for."""
        return Actions(list(map(self.examples.__getitem__, places)))


class ActionSets(Workspace):
    r"""An open `--cb_explore_adf`; options, errors and closing as `Workspace`.

    Example:
        >>> with ActionSets(["--cb_explore_adf", "--epsilon", "0.5"]) as sets:
        ...     items = sets.parse("|a 0:1\n|a 1:1\n|a 2:1", rows=3)
        ...     for _ in range(20):
        ...         sets.learn_choice("0:-1:0.5 |a 1:1", items, chosen=1, rows=1)
        ...     print(sets.law(items).round(6).tolist(), sets.law(items.chosen([0, 1])).tolist())
        [0.166667, 0.666667, 0.166667] [0.25, 0.75]
    """

    def parse(self, text: str, *, rows: int) -> Actions:
        """Read examples, to be kept until the workspace closes or `release` is called.

        Raises:
            ContextError: if Vowpal Wabbit reads another number of examples.
        """
        try:
            # Vowpal Wabbit takes no text for an empty example.
            return Actions(self._parsed(text, rows) if text or rows else [])
        except FAILURES as error:
            raise ContextError(f"Vowpal Wabbit could not read its examples: {error}") from None

    def release(self, actions: Actions) -> None:
        """Give parsed examples back; they must not be used again."""
        with failures(ContextError, "give examples back"):
            self._check_open()
            if actions.examples:
                self._vw.predict_multi(actions.examples)
                self._vw._finish_example_multi_ex(actions.examples)

    def law(self, actions: Actions) -> FloatArray:
        """Probability of each action of a set, in their order, `float64`, summing to 1.

        Raises:
            ContextError: if Vowpal Wabbit fails, or gives what is no law.
        """
        try:
            self._check_open()
            self._vw.predict_multi(actions.examples)
            scores = actions.examples[0].get_action_scores()
        except FAILURES as error:
            raise ContextError(f"Vowpal Wabbit could not predict: {error}") from None
        # For lists this short, sums in Python are faster than in numpy.
        total = sum(scores)
        if not (0.0 < total < math.inf and min(scores) >= 0.0):
            raise ContextError(f"law of Vowpal Wabbit must be probabilities, got {scores}")
        return np.array([score / total for score in scores])

    def law_of(self, text: str, *, rows: int) -> FloatArray:
        """The law of a set that is read, asked about once and given back; errors as `law`."""
        actions = self.parse(text, rows=rows)
        law = self.law(actions)
        self._vw._finish_example_multi_ex(actions.examples)
        return law

    def law_given(self, context: str, actions: Actions) -> FloatArray:
        """The law of a set under a context that is used once; errors as `law`.

        Args:
            context: one line, `shared |...`, without a label.
            actions: the set without it.
        """
        shared = self.parse(context, rows=1)
        law = self.law(shared + actions)
        self._vw._finish_example_multi_ex(shared.examples)
        return law

    def learn_choice(self, text: str, actions: Actions, *, chosen: int, rows: int) -> None:
        """Learn from one choice.

        Args:
            text: the chosen action with its label `0:cost:propensity`, as the last line; before
                it, other lines that take the first places of the set.
            actions: the set; the action at `chosen` is replaced by the last line of the text.
            chosen: place among the actions.
            rows: lines of the text.

        Raises:
            ContextError: if Vowpal Wabbit fails; the workspace must then be closed.
        """
        self._learn([], text, actions, chosen=chosen, rows=rows)

    def learn_after(self, shared: Actions, text: str, actions: Actions, *, chosen: int) -> None:
        """Learn from a choice whose law was asked for, and give its shared example back.

        Args:
            shared: the shared example of the set, or nothing.
            text: one line, the chosen action with its label.
            actions: as `learn_choice`.
            chosen: as `learn_choice`.

        Raises:
            ContextError: as `learn_choice`.
        """
        self._learn(shared.examples, text, actions, chosen=chosen, rows=1)

    def _learn(
        self, before: list[Any], text: str, actions: Actions, *, chosen: int, rows: int
    ) -> None:
        try:
            fresh = before + self._parsed(text, rows)
            examples = fresh[:-1] + actions.examples
            examples[len(fresh) - 1 + chosen] = fresh[-1]
            self._vw.learn_multi(examples)
            self._vw.predict_multi(fresh)
            self._vw._finish_example_multi_ex(fresh)
        except FAILURES as error:
            raise ContextError(f"Vowpal Wabbit could not learn: {error}") from None


def open_action_sets(options: Sequence[str], *, model: UInt8Array | None, seed: int) -> ActionSets:
    """A workspace that draws its random numbers from a seed, or goes on from a model's number.

    Args:
        options: as `Workspace`.
        model: as `Workspace`.
        seed: in [0, 2^31), read where there is no model.
    """
    named = None if model is None else _SEED.search(model.tobytes())
    number = str(seed + 1) if named is None else named.group(1).decode("ascii")
    return ActionSets([*options, "--random_seed", number], model=model)
