"""The factors of another recommender, from an npz file, as a factor model.

The file holds `item_ids [M]` and `item_factors [M, f]`, and may hold `item_offset [M]`, and
`user_ids [U]` with `user_factors [U, f]`; nothing else. Units that the file names are served with
their vector as it stands; all others are folded in from their own observed history.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matinee_policies.arrays import AnyArray, Float32Array, Int64Array
from matinee_policies.candidates.factor_model import (
    FEEDBACK,
    FactorModel,
    FoldInRule,
    ObservationWeights,
)
from matinee_policies.candidates.item_ids import NOT_SHOWN, ItemIndex
from matinee_policies.candidates.score_table import find_keys
from matinee_policies.candidates.source_data import SourceData, Units
from matinee_policies.candidates.training_users import with_population_prior, with_score_constants
from matinee_policies.candidates.unit_vectors import UnitVectors
from matinee_policies.config import Config, check_range
from matinee_policies.errors import ConfigError, DataError

KIND = "factor_file"

_NEEDED = ("item_ids", "item_factors")
_ALLOWED = (*_NEEDED, "item_offset", "user_ids", "user_factors")
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorFileConfig(Config):
    """Settings of a factor file.

    A unit with observations v of items with factors q is folded in as the minimum over p of
    sum (v - offset - p . q)^2 + (ridge + ridge_per_observation n) |p - prior|^2 for explicit
    feedback, and as in `implicit_als` for implicit feedback.

    Attributes:
        path: the npz file, from the current folder.
        feedback: `"explicit"` if offset + p . q predicts stars, else `"implicit"`.
        ridge: weight of the mean unit in a unit's vector, above 0.
        ridge_per_observation: added to it per observation, at least 0.
        confidence_slope: confidence added per unit of strength, above 0; implicit feedback only.
    """

    path: str
    feedback: str = "implicit"
    ridge: float = 1.0
    ridge_per_observation: float = 0.0
    confidence_slope: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not self.path:
            raise ConfigError(f"path must be a text, got {self.path!r}")
        if self.feedback not in FEEDBACK:
            raise ConfigError(
                f"feedback must be one of {', '.join(FEEDBACK)}, got {self.feedback!r}"
            )
        check_range("ridge", self.ridge, low=0.0, low_open=True)
        check_range("ridge_per_observation", self.ridge_per_observation, low=0.0)
        check_range("confidence_slope", self.confidence_slope, low=0.0, low_open=True)


@dataclass(frozen=True, slots=True)
class FactorReading:
    """Factors as read, and what was left out.

    Attributes:
        model: the item side.
        vectors: of the units of this run that the file names.
        given: vectors in the file.
        other_items: items of the file that the catalogue leaves out.
    """

    model: FactorModel
    vectors: UnitVectors
    given: int
    other_items: int


def read_factor_file(config: FactorFileConfig, data: SourceData) -> FactorReading:
    """Read the file and fit prior and score constants to the past ratings.

    Raises:
        DataError: the file is missing or damaged, an array is missing, unknown or of a wrong shape,
            a number is not finite, an id is unknown or comes twice, or an item has no factors.
        ConfigError: there are vectors of units, but none is of this run.
        ContextError: the past ratings do not suit the feedback.
    """
    path = Path(config.path)
    arrays = _read(path)
    ids, factors = arrays["item_ids"], _matrix(arrays, "item_factors", path)
    _expect_shape(path, "item_ids", ids, (len(factors),))
    offset = (
        _finite(path, "item_offset", arrays["item_offset"])
        if "item_offset" in arrays
        else np.zeros(len(factors), dtype=np.float32)
    )
    _expect_shape(path, "item_offset", offset, (len(factors),))
    rows = _catalogue_rows(path, ids, data)
    shown = rows != NOT_SHOWN
    place = np.empty(len(data.catalogue), dtype=np.int64)
    place[rows[shown]] = np.flatnonzero(shown)
    vectors, given = _unit_vectors(path, arrays, factors.shape[1], data.units)
    model = _item_side(config, factors[place], offset[place])
    matrix = data.interactions.matrix
    fitted = with_score_constants(with_population_prior(model, matrix), matrix)
    return FactorReading(fitted, vectors, given, int((~shown).sum()))


def _item_side(
    config: FactorFileConfig, factors: Float32Array, offset: Float32Array
) -> FactorModel:
    f = factors.shape[1]
    wide = factors.astype(np.float64)
    explicit = config.feedback == "explicit"
    # einsum without BLAS: the same bits whatever the threads.
    gram = np.zeros((f, f)) if explicit else np.einsum("ia,ib->ab", wide, wide)
    slope = float(config.confidence_slope)
    return FactorModel(
        kind=KIND,
        feedback=config.feedback,
        item_factors=factors,
        item_offset=offset,
        prior=np.zeros(f, dtype=np.float32),
        rule=FoldInRule(
            base=(gram + gram.T) / 2.0,
            ridge=np.full(f, float(config.ridge)),
            ridge_per_observation=np.full(f, float(config.ridge_per_observation)),
            weights=ObservationWeights(gram_constant=1.0, pull_slope=1.0)
            if explicit
            else ObservationWeights(gram_slope=slope, pull_constant=1.0, pull_slope=slope),
        ),
    )


def _read(path: Path) -> dict[str, AnyArray]:
    if not path.is_file():
        raise DataError(path, rule="file must exist")
    try:
        with np.load(path, allow_pickle=False) as stored:
            names = list(stored.files)
            unknown = [name for name in names if name not in _ALLOWED]
            if unknown:
                raise DataError(
                    path, rule=f"may hold {', '.join(_ALLOWED)} only", value=sorted(unknown)
                )
            arrays = {name: stored[name] for name in names}
    except (*_UNREADABLE, AttributeError, TypeError) as error:
        raise DataError(path, rule=f"must be an undamaged npz file ({error})") from None
    for name in _NEEDED:
        if name not in arrays:
            raise DataError(path, rule=f"must hold the array {name}", value=sorted(arrays))
    if ("user_ids" in arrays) != ("user_factors" in arrays):
        raise DataError(path, rule="user_ids and user_factors must come together")
    return arrays


def _catalogue_rows(path: Path, ids: AnyArray, data: SourceData) -> Int64Array:
    rows = ItemIndex(data).rows(ids, path=path)
    _refuse_doubles(path, "item_ids", ids)
    missing = np.setdiff1d(np.arange(len(data.catalogue)), rows)
    if missing.size:
        raise DataError(
            path,
            rule=f"must hold factors of all {len(data.catalogue)} items of the catalogue; "
            f"{missing.size} are missing, the first of them",
            value=int(data.catalogue.ids[missing[0]]),
        )
    return rows


def _unit_vectors(
    path: Path, arrays: dict[str, AnyArray], f: int, units: Units
) -> tuple[UnitVectors, int]:
    if "user_ids" not in arrays:
        return UnitVectors(np.empty(0, dtype=np.uint64), np.empty((0, f), dtype=np.float32)), 0
    ids = arrays["user_ids"]
    vectors = _matrix(arrays, "user_factors", path)
    if ids.dtype.kind not in "iuU":
        raise DataError(path, rule="user_ids must be text or whole numbers", value=str(ids.dtype))
    _expect_shape(path, "user_ids", ids, (len(vectors),))
    _expect_shape(path, "user_factors", vectors, (len(vectors), f))
    _refuse_doubles(path, "user_ids", ids)
    keys = units.key_of([str(one) for one in ids.tolist()])
    here = find_keys(np.unique(units.keys), keys) >= 0
    if ids.size and not here.any():
        raise units.stranger(path, given=ids.size, what="vectors", example=str(ids[0]))
    order = np.argsort(keys[here], kind="stable")
    return UnitVectors(keys[here][order], vectors[here][order]), len(vectors)


def _matrix(arrays: dict[str, AnyArray], name: str, path: Path) -> Float32Array:
    array = _finite(path, name, arrays[name])
    if array.ndim != 2 or array.shape[1] == 0:
        raise DataError(path, rule=f"{name} must be [rows, factors]", value=array.shape)
    return array


def _finite(path: Path, name: str, array: AnyArray) -> Float32Array:
    if array.dtype.kind not in "fiu":
        raise DataError(path, rule=f"{name} must hold numbers", value=str(array.dtype))
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    bad = ~np.isfinite(narrow)
    if bad.any():
        raise DataError(
            path, rule=f"{name} must be finite as float32", value=float(array[bad].flat[0])
        )
    return np.ascontiguousarray(narrow)


def _expect_shape(path: Path, name: str, array: AnyArray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise DataError(path, rule=f"{name} must have shape {shape}", value=array.shape)


def _refuse_doubles(path: Path, name: str, ids: AnyArray) -> None:
    # The ids themselves may name people, so they are counted only.
    doubled = ids.size - np.unique(ids).size
    if doubled:
        raise DataError(path, rule=f"{name} must be distinct; {doubled} come again")
