"""Build the state of users in arrays that a caller provides, some users at a time.

Everything about a user is a pure function of (seed, user), so state that is built in blocks has the
bits of state that is built at once.
"""

from collections.abc import Callable

from matinee_policies.row_storage import FILL_BLOCK, RowStorage
from matinee_simulator.user_state import UserState


def stored_state(
    storage: RowStorage, n_users: int, *, state_of: Callable[[int, int], UserState]
) -> UserState:
    """State of `n_users` users before their first visit, or as the storage holds it.

    Args:
        storage: gives the arrays, named as the fields of `UserState`.
        n_users: number of users.
        state_of: the state of the users from one place to before another.
    """
    shapes = state_of(0, 0)
    state = UserState(
        *(
            storage.full(name, (n_users, *array.shape[1:]), 0, array.dtype)
            for name, array in shapes._asdict().items()
        )
    )
    if storage.fresh:
        for first in range(0, n_users, FILL_BLOCK):
            last = min(first + FILL_BLOCK, n_users)
            for name, part in state_of(first, last)._asdict().items():
                getattr(state, name)[first:last] = part
            storage.release()
    return state
