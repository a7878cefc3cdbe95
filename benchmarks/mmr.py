"""Greedy MMR slates beside a plain numpy loop, in a batch and one call per slate.

python benchmarks/mmr.py [--quick] [--json]
"""

from harness import Bars, Effort, Row, main
from matinee_policies.greedy_slates import greedy_mmr
from slate_rows import Subject, rows


def flops(K: int, m: int, slots: int) -> float:
    """A row of cosines for every pick but the last."""
    return 2.0 * K * m * (slots - 1)


SUBJECT = Subject("MMR", "mmr", greedy_mmr, flops, batched=Bars(peer=10.0), single=Bars(peer=5.0))


def measure(effort: Effort) -> list[Row]:
    """Two rows for every size."""
    return rows(SUBJECT, effort)


if __name__ == "__main__":
    main(__doc__, measure)
