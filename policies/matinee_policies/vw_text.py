"""Write examples in Vowpal Wabbit's text format, fast and without any word of a user.

A row is numbers behind fixed prefixes, e.g. `-0.5 1.25 |a 0:1 1:0.3`. All that can stand in it is
digits, signs, points, `e`, spaces, `|`, `:` and the names of two namespaces, so no data can change
the meaning of an example. Numbers have nine significant digits, which name a float32 exactly.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import FloatArray, IndexArray, UInt8Array
from matinee_policies.compiled import kernel

ACTION_NAMESPACE = "a"
"""Holds the features that tell the candidates of a decision apart."""

CONTEXT_NAMESPACE = "c"
"""Holds the features of unit and session."""

SLOT_NAMESPACE = "s"
"""Holds what tells the slots of a page apart."""

_NUMBER_BYTES = 16
_NEWLINE = 10
_DIGITS = 9
_SMALLEST = float(np.finfo(np.float32).tiny)
# Read from text, so that each is the nearest float64; a product of powers would not be.
_LEAST_POWER = -60
_POWERS = np.array([float(f"1e{exponent}") for exponent in range(_LEAST_POWER, 61)])


@dataclass(frozen=True, slots=True)
class RowFormat:
    """Where the numbers of a row stand.

    Attributes:
        prefixes: ASCII before each number, end to end, `uint8 [P]`.
        starts: where the prefix of each number starts, then `P`, `int32 [c + 1]`.
        columns: feature behind each feature number, in the order written, `int32 [d]`.
    """

    prefixes: UInt8Array
    starts: IndexArray
    columns: IndexArray


def row_format(
    dimension: int,
    *,
    context_features: Collection[int],
    labelled: bool,
    bandit: bool = False,
) -> RowFormat:
    r"""The format of an example: namespace of actions, then of contexts.

    Args:
        dimension: of the features.
        context_features: those that go to the namespace of contexts; their name is their number.
        labelled: whether a label and an importance weight stand before the features.
        bandit: whether they are a cost and its propensity, in the format of contextual bandits.

    Example:
        >>> form = row_format(3, context_features=[1], labelled=True)
        >>> rows_text(np.array([[-1.0, 0.5, 0.25, 0.0, 3.0]]), form)
        '-1.00000000e0 5.00000000e-1 |a 0:2.50000000e-1 2:0 |c 1:3.00000000e0\n'
    """
    columns = sorted(range(dimension), key=lambda column: (column in context_features, column))
    prefixes = (["0:", ":"] if bandit else ["", " "]) if labelled else []
    opened = ""
    for column in columns:
        namespace = CONTEXT_NAMESPACE if column in context_features else ACTION_NAMESPACE
        gap = " " if prefixes else ""
        prefixes.append(f" {column}:" if namespace == opened else f"{gap}|{namespace} {column}:")
        opened = namespace
    return RowFormat(
        prefixes=np.frombuffer("".join(prefixes).encode(), dtype=np.uint8).copy(),
        starts=np.cumsum([0, *map(len, prefixes)], dtype=np.int32),
        columns=np.array(columns, dtype=np.int32),
    )


def rows_text(numbers: FloatArray, form: RowFormat) -> str:
    """One line per row.

    Args:
        numbers: at most 1e50 in size, in the order of the format, `float64 [n, c]`; below the
            smallest normal float32 they are written as 0, as Vowpal Wabbit reads them.
        form: their format.
    """
    rows, columns = numbers.shape
    width = len(form.prefixes) + _NUMBER_BYTES * columns + 1
    text = np.empty(rows * width, dtype=np.uint8)
    used = _write_rows(
        np.require(numbers, requirements=["C", "W"]), form.prefixes, form.starts, text
    )
    return text[:used].tobytes().decode("ascii")


def rows_text_reference(numbers: FloatArray, prefixes: Sequence[str]) -> str:
    """The same lines by Python's formatting: the readable twin of `rows_text`.

    Args:
        numbers: as `rows_text`.
        prefixes: what stands before each number of a row.
    """
    lines = []
    for row in numbers.tolist():
        words = []
        for prefix, number in zip(prefixes, row, strict=True):
            digits, exponent = f"{number:.{_DIGITS - 1}e}".split("e")
            words.append(
                prefix + (f"{digits}e{int(exponent)}" if abs(number) >= _SMALLEST else "0")
            )
        lines.append("".join(words) + "\n")
    return "".join(lines)


@kernel
def _write_rows(
    numbers: FloatArray, prefixes: UInt8Array, starts: IndexArray, text: UInt8Array
) -> int:
    """Write all rows; gives the number of bytes."""
    at = 0
    for n in range(numbers.shape[0]):
        for c in range(numbers.shape[1]):
            for p in range(starts[c], starts[c + 1]):
                text[at] = prefixes[p]
                at += 1
            at = _write_number(numbers[n, c], text, at)
        text[at] = _NEWLINE
        at += 1
    return at


@kernel
def _write_number(number: float, text: UInt8Array, at: int) -> int:
    """Write one number as sign, digit, point, eight digits and exponent; gives the next place."""
    size = abs(number)
    if size < _SMALLEST:
        text[at] = 48
        return at + 1
    if number < 0.0:
        text[at] = 45
        at += 1
    exponent = int(np.floor(np.log10(size)))
    mantissa = int(np.rint(size * _POWERS[_DIGITS - 1 - exponent - _LEAST_POWER]))
    # The logarithm may round to the next power of ten, and so may the digits.
    if mantissa < 100_000_000:
        exponent -= 1
        mantissa = int(np.rint(size * _POWERS[_DIGITS - 1 - exponent - _LEAST_POWER]))
    if mantissa >= 1_000_000_000:
        exponent += 1
        mantissa = int(np.rint(size * _POWERS[_DIGITS - 1 - exponent - _LEAST_POWER]))
    for place in range(_DIGITS, 1, -1):
        text[at + place] = 48 + mantissa % 10
        mantissa //= 10
    text[at] = 48 + mantissa
    text[at + 1] = 46
    text[at + _DIGITS + 1] = 101
    at += _DIGITS + 2
    if exponent < 0:
        text[at] = 45
        at += 1
        exponent = -exponent
    if exponent >= 10:
        text[at] = 48 + exponent // 10
        at += 1
    text[at] = 48 + exponent % 10
    return at + 1
