"""States and actions of the tabular world, and their numbers.

A state is (h_0, h_1, h_2, level): satiation 0..3 with each topic and goodwill 0..6, 448 in all. An
action shows one item: topic 0..2, of substance or clickbait. Numbers count in that order, the last
fastest, so an array over states reshapes to `[4, 4, 4, 7]` and one over actions to `[3, 2]`.
"""

import numpy as np

from matinee_policies.arrays import IndexArray

TOPICS = 3
SATIATION_LEVELS = 4
GOODWILL_LEVELS = 7
STATES = SATIATION_LEVELS**TOPICS * GOODWILL_LEVELS
ACTIONS = 2 * TOPICS

START = GOODWILL_LEVELS // 2
"""State of a new user: no satiation, goodwill in the middle."""

GONE = -1
"""Stands for a state of users who never come back."""


def state_number(satiation: tuple[int, int, int], goodwill: int) -> int:
    """Number of a state.

    Args:
        satiation: level of each topic, 0..3.
        goodwill: level, 0..6.

    Example:
        >>> state_number((0, 0, 0), 3) == START
        True
        >>> state_number((3, 3, 3), 6)
        447
    """
    number = 0
    for level in satiation:
        number = number * SATIATION_LEVELS + level
    return number * GOODWILL_LEVELS + goodwill


def satiation_of(states: IndexArray) -> IndexArray:
    """Satiation with each topic, `int32 [n, 3]`, of states `int32 [n]`."""
    place = np.asarray(states) // GOODWILL_LEVELS
    weights = SATIATION_LEVELS ** np.arange(TOPICS - 1, -1, -1)
    return ((place[..., None] // weights) % SATIATION_LEVELS).astype(np.int32)


def goodwill_of(states: IndexArray) -> IndexArray:
    """Goodwill level, `int32 [n]`, of states `int32 [n]`."""
    return (np.asarray(states) % GOODWILL_LEVELS).astype(np.int32)


def action_number(topic: int, *, clickbait: bool) -> int:
    """Number of an action: 0, 2, 4 show substance, 1, 3, 5 clickbait of topics 0, 1, 2."""
    return 2 * topic + int(clickbait)


def action_name(action: int) -> str:
    """What an action shows, in words.

    Example:
        >>> [action_name(a) for a in (0, 5)]
        ['substance of topic 0', 'clickbait of topic 2']
    """
    return f"{('substance', 'clickbait')[action % 2]} of topic {action // 2}"
