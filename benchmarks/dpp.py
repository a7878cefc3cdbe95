"""Greedy DPP slates beside the fast Cholesky algorithm in numpy, in a batch and one call per slate.

python benchmarks/dpp.py [--quick] [--json]
"""

from harness import Bars, Effort, Row, main
from matinee_policies.greedy_slates import greedy_dpp
from slate_rows import Subject, rows


def flops(K: int, m: int, slots: int) -> float:
    """A row of cosines and a Cholesky row for every pick but the last."""
    return 2.0 * K * m * (slots - 1) + K * (slots - 1) * (slots - 2)


SUBJECT = Subject("DPP", "dpp", greedy_dpp, flops, batched=Bars(peer=9.0), single=Bars(peer=6.0))


def measure(effort: Effort) -> list[Row]:
    """Two rows for every size."""
    return rows(SUBJECT, effort)


if __name__ == "__main__":
    main(__doc__, measure)
