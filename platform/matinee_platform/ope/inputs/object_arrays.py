"""Arrays of Python objects in a dict of arrays, as pandas gives them: texts or numbers, or refused.

None, and an array that is nothing but None, mean that there is no such array.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from matinee_policies.arrays import AnyArray
from matinee_policies.errors import ContextError

_NUMBERS = (int, float, np.number, np.bool_)


def given_arrays(feedback: Mapping[str, Any]) -> dict[str, Any]:
    """What there is of a dict of arrays; others than of objects stay as they are.

    Raises:
        ContextError: naming the array and its first value that is neither a number nor a text, or
            that is of the other kind than the first.

    Example:
        >>> given_arrays({"unit": np.array(["a", "b"], dtype=object), "context": None})
        {'unit': array(['a', 'b'], dtype='<U1')}
    """
    found: dict[str, Any] = {}
    for name, value in feedback.items():
        try:
            raw = np.asarray(value)
        except ValueError as error:
            raise ContextError(f"{name} must be an array ({error})") from None
        if raw.dtype != object:
            found[name] = value
        elif raw.shape != () or raw.item() is not None:
            found[name] = _plain(name, raw)
    return found


def _plain(name: str, raw: AnyArray) -> AnyArray:
    values = raw.reshape(-1).tolist()
    kind = str if values and isinstance(values[0], str) else _NUMBERS
    for number, value in enumerate(values, start=1):
        if not isinstance(value, kind):
            # A text may be a person's name.
            got = "a text" if isinstance(value, str) else repr(value)
            raise ContextError(
                f"{name} must be numbers alone or texts alone, got {got} at place {number}"
            )
    whole = all(isinstance(value, int | np.integer) for value in values)
    # Left to itself, numpy makes floats of whole numbers on both sides of 2^63.
    dtype = np.uint64 if whole and values and max(values) >= 2**63 else None
    try:
        plain = np.array(values, dtype=dtype).reshape(raw.shape)
    except OverflowError:
        plain = raw
    if plain.dtype == object:
        raise ContextError(f"{name} must be numbers of at most 64 bits, got {max(values, key=abs)}")
    return plain
