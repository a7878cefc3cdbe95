"""The item side of a matrix factorization, as every candidate source hands it on.

    raw(u, i)   = item_offset[i] + p_u . q_i
    score(u, i) = 1 / (1 + exp(-(raw - score_mean) / score_scale))

The vectors p_u of units are not part of it: `fold_in` derives them from observed histories.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from matinee_policies.array_file import content_digest, read_arrays, write_arrays
from matinee_policies.arrays import AnyArray, Float32Array, FloatArray
from matinee_policies.errors import ContextError, DataError

ITEM_GROUP = 64
"""Items are padded to groups of this many, one word of a `seen` bitset each."""

FEEDBACK = ("explicit", "implicit")
"""What observed values are: ratings in stars, or strengths above 0."""

_FILE_KIND = "factor model"
_ARRAYS = ("item_factors", "item_offset", "prior", "base", "ridge", "ridge_per_observation")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationWeights:
    """How much an observed value adds to the normal equations of a unit.

    An observation of value v adds g q q' to the gram matrix and (h - g item_offset) q to the
    right-hand side, with g = gram_constant + gram_slope v and h = pull_constant + pull_slope v.
    """

    gram_constant: float = 0.0
    gram_slope: float = 0.0
    pull_constant: float = 0.0
    pull_slope: float = 0.0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FoldInRule:
    """The constant part of a unit's normal equations.

    With n observations, R = diag(ridge + ridge_per_observation * n) and (g, h) of `weights`,

        (base + R + sum g q q') p = R prior + sum (h - g item_offset) q

    Attributes:
        base: symmetric and positive semi-definite, `float64 [f, f]`.
        ridge: at least 0, `float64 [f]`.
        ridge_per_observation: at least 0, `float64 [f]`.
        weights: what each observation adds.
    """

    base: FloatArray
    ridge: FloatArray
    ridge_per_observation: FloatArray
    weights: ObservationWeights

    def __post_init__(self) -> None:
        f = len(self.ridge)
        _check("base", self.base, dtype=np.float64, shape=(f, f))
        _check("ridge", self.ridge, dtype=np.float64, shape=(f,))
        _check("ridge_per_observation", self.ridge_per_observation, dtype=np.float64, shape=(f,))
        if not np.array_equal(self.base, self.base.T):
            raise ContextError("base must be symmetric")
        for name in ("ridge", "ridge_per_observation"):
            lowest = float(getattr(self, name).min(initial=0.0))
            if lowest < 0.0:
                raise ContextError(f"{name} must be >= 0, got {lowest}")
        for field, value in asdict(self.weights).items():
            if not math.isfinite(value):
                raise ContextError(f"{field} must be finite, got {value}")


@dataclass(frozen=True, eq=False, kw_only=True)
class FactorModel:
    """What is needed to fold units in, rank all items for them and score the best.

    Attributes:
        kind: the source that fitted it, e.g. `"biased_als"`.
        feedback: one of `FEEDBACK`.
        item_factors: q_i, `float32 [M, f]`, finite.
        item_offset: `float32 [M]`, finite.
        prior: vector of a unit without history, the mean of the training users, `float32 [f]`.
        score_mean: mean of raw over the training pairs.
        score_scale: standard deviation of raw over the training pairs, above 0.
        rule: how histories are folded in.

    Raises:
        ContextError: the fields do not fit together, or a number is not finite.
    """

    kind: str
    feedback: str
    item_factors: Float32Array
    item_offset: Float32Array
    prior: Float32Array
    score_mean: float = 0.0
    score_scale: float = 1.0
    rule: FoldInRule

    def __post_init__(self) -> None:
        if self.item_factors.ndim != 2 or 0 in self.item_factors.shape:
            raise ContextError(
                f"item_factors must be [M, f] with M, f >= 1, got {self.item_factors.shape}"
            )
        M, f = self.item_factors.shape
        _check("item_factors", self.item_factors, dtype=np.float32, shape=(M, f))
        _check("item_offset", self.item_offset, dtype=np.float32, shape=(M,))
        _check("prior", self.prior, dtype=np.float32, shape=(f,))
        if self.rule.base.shape != (f, f):
            raise ContextError(f"base must have shape ({f}, {f}), got {self.rule.base.shape}")
        if self.feedback not in FEEDBACK:
            raise ContextError(
                f"feedback must be one of {', '.join(FEEDBACK)}, got {self.feedback!r}"
            )
        if not math.isfinite(self.score_mean):
            raise ContextError(f"score_mean must be finite, got {self.score_mean}")
        if not (math.isfinite(self.score_scale) and self.score_scale > 0.0):
            raise ContextError(f"score_scale must be finite and > 0, got {self.score_scale}")

    @property
    def n_items(self) -> int:
        """Number of items M of the catalogue, with or without ratings."""
        return int(self.item_factors.shape[0])

    @property
    def n_factors(self) -> int:
        """Length f of the vectors."""
        return int(self.item_factors.shape[1])

    @cached_property
    def version(self) -> str:
        """16 hex digits that name this exact content."""
        return content_digest(self._arrays(), self._header())

    @cached_property
    def factor_major(self) -> Float32Array:
        """One row per factor, zeros on the right, `float32 [f, 64 ceil(M / 64)]`."""
        padded = np.zeros((self.n_factors, _padded(self.n_items)), dtype=np.float32)
        padded[:, : self.n_items] = self.item_factors.T
        return padded

    @cached_property
    def padded_offset(self) -> Float32Array:
        """Item offsets, minus infinity on the right, `float32 [64 ceil(M/64)]`; no zero is -0."""
        padded = np.full(_padded(self.n_items), -np.inf, dtype=np.float32)
        padded[: self.n_items] = self.item_offset + np.float32(0.0)
        return padded

    def save(self, path: Path) -> None:
        """Write all fields, and the version, to one `.npz` file."""
        header = {**self._header(), "version": self.version}
        write_arrays(path, kind=_FILE_KIND, arrays=self._arrays(), header=header)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, damaged, was altered or breaks a rule of the model.
        """
        arrays, header = read_arrays(path, kind=_FILE_KIND, names=_ARRAYS)
        try:
            model = cls._restore(arrays, header)
        except (ContextError, KeyError, TypeError, ValueError) as error:
            raise DataError(path, rule=f"must hold a valid factor model ({error})") from None
        if header.get("version") != model.version:
            raise DataError(
                path,
                rule=f"content must match its version {model.version}",
                value=header.get("version"),
            )
        return model

    def calibrated(self, *, score_mean: float, score_scale: float) -> "FactorModel":
        """The same model with other constants of the score."""
        return replace(self, score_mean=score_mean, score_scale=score_scale)

    @classmethod
    def _restore(cls, arrays: Mapping[str, AnyArray], header: Mapping[str, Any]) -> Self:
        rule = FoldInRule(
            base=arrays["base"],
            ridge=arrays["ridge"],
            ridge_per_observation=arrays["ridge_per_observation"],
            weights=ObservationWeights(
                **{f.name: float(header["weights"][f.name]) for f in fields(ObservationWeights)}
            ),
        )
        return cls(
            kind=str(header["kind"]),
            feedback=str(header["feedback"]),
            item_factors=arrays["item_factors"],
            item_offset=arrays["item_offset"],
            prior=arrays["prior"],
            score_mean=float(header["score_mean"]),
            score_scale=float(header["score_scale"]),
            rule=rule,
        )

    def _arrays(self) -> dict[str, AnyArray]:
        return {
            "item_factors": self.item_factors,
            "item_offset": self.item_offset,
            "prior": self.prior,
            "base": self.rule.base,
            "ridge": self.rule.ridge,
            "ridge_per_observation": self.rule.ridge_per_observation,
        }

    def _header(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "feedback": self.feedback,
            "score_mean": self.score_mean,
            "score_scale": self.score_scale,
            "weights": asdict(self.rule.weights),
        }


def _padded(n_items: int) -> int:
    return -(-n_items // ITEM_GROUP) * ITEM_GROUP


def _check(name: str, array: AnyArray, *, dtype: type, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ContextError(
            f"{name} must be {np.dtype(dtype).name} of shape {shape}, "
            f"got {array.dtype} of shape {array.shape}"
        )
    if not np.isfinite(array).all():
        raise ContextError(f"{name} must be finite, got {array[~np.isfinite(array)][0]}")
