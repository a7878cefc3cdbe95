"""Numbers by which compiled code knows the kinds of redundancy."""

from matinee_policies.diversity import DPP, MMR, Calibrated, Diversity, XQuAD

CODE_NONE = 0
CODE_MMR = 1
CODE_DPP = 2
CODE_CALIBRATED = 3
CODE_XQUAD = 4

LEAST_VARIANCE = 1e-6
"""Unexplained shares below it count as this much, so that redundancy of DPP is at most 13.8."""

_CODES: dict[type[Diversity], int] = {
    MMR: CODE_MMR,
    DPP: CODE_DPP,
    Calibrated: CODE_CALIBRATED,
    XQuAD: CODE_XQUAD,
}


def diversity_code(diversity: Diversity) -> int:
    """The code of a kind; `CODE_NONE` where it costs nothing."""
    return _CODES[type(diversity)] if diversity.price > 0 else CODE_NONE
