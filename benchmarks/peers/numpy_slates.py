"""Plain numpy: slates per CPU second of greedy MMR and DPP, one slate at a time.

`kind` is `mmr` or `dpp`; `B`, `K`, `m`, `slots` and `seed` are numbers. Both use what makes them
fast in numpy: only the similarities to the last pick, in single precision, one product a pick.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from peers.made_up import slates
from peers.stopwatch import answer, arguments

PRICE = 0.5
SMALLEST_RESIDUAL = 1e-6


def mmr(values: Any, vectors: Any, *, slots: int, price: float = PRICE) -> list[int]:
    """Maximal marginal relevance: a running maximum of the similarities to what is picked.

    Carbonell and Goldstein (1998), in the form value - price * max similarity.

    Args:
        values: `float64 [K]`.
        vectors: of length one, `float32 [K, m]`.
        slots: how many to pick.
        price: of a similarity of one.
    """
    redundancy = np.zeros(len(values))
    open_values = values.copy()
    picks: list[int] = []
    for _ in range(slots):
        best = int(np.argmax(open_values - price * redundancy))
        picks.append(best)
        open_values[best] = -np.inf
        np.maximum(redundancy, vectors @ vectors[best], out=redundancy)
    return picks


def dpp(values: Any, vectors: Any, *, slots: int, price: float = PRICE) -> list[int]:
    """Greedy most probable set of a determinantal point process, by incremental Cholesky rows.

    Chen, Zhang and Zhou (2018), algorithm 1, maximising value + price * log(residual).

    Args:
        values: `float64 [K]`.
        vectors: of length one, `float32 [K, m]`.
        slots: how many to pick.
        price: of the log of the residual.
    """
    residual = np.ones(len(values))
    open_values = values.copy()
    rows = np.zeros((slots, len(values)))
    picks: list[int] = []
    for slot in range(slots):
        best = int(np.argmax(open_values + price * np.log(np.maximum(residual, SMALLEST_RESIDUAL))))
        picks.append(best)
        open_values[best] = -np.inf
        done = rows[:slot]
        scale = np.sqrt(max(residual[best], SMALLEST_RESIDUAL))
        row = (vectors @ vectors[best] - done[:, best] @ done) / scale
        rows[slot] = row
        residual = residual - row * row
    return picks


KINDS: dict[str, Callable[..., list[int]]] = {"mmr": mmr, "dpp": dpp}


def main() -> None:
    """Answer for one kind at one size."""
    settings = arguments()
    values, vectors = slates(settings["seed"], B=settings["B"], K=settings["K"], m=settings["m"])
    pick, slots = KINDS[settings["kind"]], settings["slots"]
    each = list(zip(values, vectors, strict=True))

    def play() -> None:
        for value, vector in each:
            pick(value, vector, slots=slots)

    answer(play, units=len(values), version=np.__version__)


if __name__ == "__main__":
    main()
