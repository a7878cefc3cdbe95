"""Plain numpy: slates per CPU second of greedy MMR and DPP, one slate at a time.

`kind` is `mmr` or `dpp`; `B`, `K`, `m`, `slots` and `seed` are numbers. Both use what makes them
fast in numpy: only the similarities to the last pick, in single precision, one product a pick.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from peers.made_up import slates
from peers.stopwatch import answer, arguments

PRICE = 0.5


def mmr(values: Any, vectors: Any, *, slots: int, price: float = PRICE) -> list[int]:
    """Maximal marginal relevance: a running maximum of the similarities to what is picked.

    Carbonell and Goldstein (1998), in the form value - price * max similarity.

    Args:
        values: `float64 [K]`.
        vectors: of length one, `float32 [K, m]`.
        slots: how many to pick.
        price: of a similarity of one.
    """
    redundancy = np.zeros(len(values), dtype=np.float32)
    open_values = values.copy()
    picks = [int(np.argmax(open_values))]
    while len(picks) < slots:
        last = picks[-1]
        open_values[last] = -np.inf
        np.maximum(redundancy, vectors @ vectors[last], out=redundancy)
        picks.append(int(np.argmax(open_values - price * redundancy)))
    return picks


def dpp(values: Any, vectors: Any, *, slots: int, price: float = PRICE) -> list[int]:
    """Greedy most probable set of a determinantal point process, by incremental Cholesky rows.

    Chen, Zhang and Zhou (2018), algorithm 1. The kernel `q_i cosine(i, j) q_j` with the quality
    `q = exp(value / (2 price))` makes it maximise the sum of values + price * log det of the
    cosines; it is never built, only its row of the last pick.

    Args:
        values: `float64 [K]`.
        vectors: of length one, `float32 [K, m]`.
        slots: how many to pick.
        price: of the log of the determinant.
    """
    quality = np.exp(values / (2.0 * price))
    residual = quality * quality
    rows = np.empty((slots, len(values)))
    picks = [int(np.argmax(residual))]
    while len(picks) < slots:
        last, done = picks[-1], len(picks) - 1
        row = vectors @ vectors[last] * (quality * quality[last])
        row -= rows[:done, last] @ rows[:done]
        row /= math.sqrt(residual[last])
        rows[done] = row
        residual -= row * row
        residual[last] = -np.inf
        picks.append(int(np.argmax(residual)))
    return picks


KINDS: dict[str, Callable[..., list[int]]] = {"mmr": mmr, "dpp": dpp}


def main() -> None:
    """Answer for one kind at one size."""
    settings = arguments()
    values, rows, table = slates(
        settings["seed"], B=settings["B"], K=settings["K"], m=settings["m"]
    )
    pick, slots = KINDS[settings["kind"]], settings["slots"]
    each = list(zip(values, rows, strict=True))

    def play() -> None:
        for value, candidates in each:
            pick(value, table[candidates], slots=slots)

    answer(play, units=len(values), version=np.__version__)


if __name__ == "__main__":
    main()
