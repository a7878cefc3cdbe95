"""The votes of an ensemble: each member names the candidate it likes best of what remains.

A law that gives each candidate its share of the votes is that of drawing a member per slot and
following it (Thompson sampling by ensemble; Lu and Van Roy 2017, "Ensemble sampling").
"""

import numpy as np

from matinee_policies.arrays import FloatArray, IndexArray
from matinee_policies.compiled import lean_kernel
from matinee_policies.records import PAD

_CLOSED = -np.inf


@lean_kernel
def share_votes(
    members: FloatArray,
    utility: FloatArray,
    redundancy: FloatArray,
    price: float,
    picks: IndexArray,
    law: FloatArray,
) -> None:
    """Write each candidate's share of the votes into `law`.

    Args:
        members: value of each candidate to each member, finite where open, `float64 [M, K]`.
        utility: -infinity marks closed candidates; at least one is open, `float64 [K]`.
        redundancy: of each candidate, `float64 [K]`.
        price: of redundancy; at 0 a member keeps its pick until that is taken.
        picks: pick of each member at the slot before, `PAD` at first, `int32 [M]`; updated.
        law: receives the shares, `float64 [K]`.
    """
    for k in range(law.shape[0]):
        law[k] = 0.0
    for m in range(members.shape[0]):
        if price > 0.0 or picks[m] == PAD or utility[picks[m]] == _CLOSED:
            best, largest = PAD, _CLOSED
            for k in range(law.shape[0]):
                if utility[k] > _CLOSED:
                    found = members[m, k] - price * redundancy[k]
                    if best == PAD or found > largest:
                        best, largest = k, found
            picks[m] = best
        law[picks[m]] += 1.0
    for k in range(law.shape[0]):
        law[k] /= members.shape[0]
