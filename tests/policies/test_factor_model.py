import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matinee_policies.arrays import AnyArray
from matinee_policies.candidates.factor_model import FactorModel, FoldInRule, ObservationWeights
from matinee_policies.errors import ContextError, DataError


def rule(f: int = 3, **changes: Any) -> FoldInRule:
    fields: dict[str, Any] = {
        "base": np.eye(f),
        "ridge": np.full(f, 0.5),
        "ridge_per_observation": np.full(f, 0.1),
        "weights": ObservationWeights(gram_constant=1.0, pull_slope=1.0),
    }
    return FoldInRule(**{**fields, **changes})


def model(**changes: Any) -> FactorModel:
    rng = np.random.default_rng(0)
    fields: dict[str, Any] = {
        "kind": "biased_als",
        "feedback": "explicit",
        "item_factors": rng.normal(size=(70, 3)).astype(np.float32),
        "item_offset": rng.normal(size=70).astype(np.float32),
        "prior": rng.normal(size=3).astype(np.float32),
        "score_mean": 3.4,
        "score_scale": 0.6,
        "rule": rule(),
    }
    return FactorModel(**{**fields, **changes})


def test_a_model_comes_back_from_disk_with_the_same_bits(tmp_path: Path) -> None:
    saved = model()
    saved.save(tmp_path / "model.npz")
    loaded = FactorModel.load(tmp_path / "model.npz")
    assert loaded.version == saved.version
    assert (loaded.kind, loaded.feedback) == (saved.kind, saved.feedback)
    assert (loaded.score_mean, loaded.score_scale) == (saved.score_mean, saved.score_scale)
    assert loaded.rule.weights == saved.rule.weights
    for name in ("item_factors", "item_offset", "prior"):
        assert getattr(loaded, name).tobytes() == getattr(saved, name).tobytes()
    for name in ("base", "ridge", "ridge_per_observation"):
        assert getattr(loaded.rule, name).tobytes() == getattr(saved.rule, name).tobytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "svd"},
        {"feedback": "implicit"},
        {"item_factors": np.zeros((70, 3), dtype=np.float32)},
        {"item_offset": np.zeros(70, dtype=np.float32)},
        {"prior": np.zeros(3, dtype=np.float32)},
        {"score_mean": 3.5},
        {"score_scale": 0.7},
        {"rule": rule(base=2.0 * np.eye(3))},
        {"rule": rule(ridge=np.ones(3))},
        {"rule": rule(ridge_per_observation=np.ones(3))},
        {"rule": rule(weights=ObservationWeights(gram_slope=1.0))},
    ],
)
def test_the_version_depends_on_every_field(changes: dict[str, Any]) -> None:
    assert model(**changes).version != model().version
    assert model().version == model().version
    assert len(model().version) == 16


def test_the_padded_arrays_hold_the_items_and_nothing_that_could_be_chosen() -> None:
    m = model(item_offset=np.full(70, -0.0, dtype=np.float32))
    assert m.factor_major.shape == (3, 128)
    assert np.array_equal(m.factor_major[:, :70], m.item_factors.T)
    assert not m.factor_major[:, 70:].any()
    assert np.array_equal(m.padded_offset[70:], np.full(58, -np.inf, dtype=np.float32))
    assert not np.signbit(m.padded_offset[:70]).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"item_factors": np.zeros((70, 3))}, "item_factors must be float32"),
        ({"item_factors": np.zeros((0, 3), dtype=np.float32)}, "with M, f >= 1"),
        ({"item_factors": np.full((70, 3), np.nan, dtype=np.float32)}, "finite, got nan"),
        ({"item_offset": np.zeros(69, dtype=np.float32)}, r"of shape \(70,\)"),
        ({"item_offset": np.full(70, np.inf, dtype=np.float32)}, "item_offset must be finite"),
        ({"prior": np.zeros(4, dtype=np.float32)}, r"prior must be float32 of shape \(3,\)"),
        ({"feedback": "stars"}, "feedback must be one of explicit, implicit, got 'stars'"),
        ({"score_mean": np.nan}, "score_mean must be finite, got nan"),
        ({"score_scale": 0.0}, "score_scale must be finite and > 0, got 0.0"),
        ({"rule": rule(4)}, r"base must have shape \(3, 3\), got \(4, 4\)"),
    ],
)
def test_fields_that_do_not_fit_together_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ContextError, match=message):
        model(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base": np.eye(2)}, r"base must be float64 of shape \(3, 3\)"),
        ({"base": np.triu(np.ones((3, 3)))}, "symmetric"),
        ({"ridge": np.array([0.5, -0.1, 0.5])}, "ridge must be >= 0, got -0.1"),
        ({"ridge_per_observation": np.full(3, np.inf)}, "must be finite, got inf"),
        ({"weights": ObservationWeights(pull_slope=np.nan)}, "pull_slope must be finite, got nan"),
    ],
)
def test_a_rule_that_cannot_be_solved_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ContextError, match=message):
        rule(**changes)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    with pytest.raises(DataError, match="file must exist"):
        FactorModel.load(path)
    model().save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="undamaged factor model file"):
        FactorModel.load(path)


def rewrite(path: Path, **changes: AnyArray) -> None:
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    np.savez(path, allow_pickle=True, **{**arrays, **changes})


def test_an_altered_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    model().save(path)
    rewrite(path, item_offset=np.zeros(70, dtype=np.float32))
    with pytest.raises(DataError, match="content must match its version"):
        FactorModel.load(path)
    rewrite(path, item_offset=np.zeros(69, dtype=np.float32))
    with pytest.raises(DataError, match=r"item_offset must be float32 of shape \(70,\)"):
        FactorModel.load(path)
    rewrite(path, item_offset=np.array([{"code": "run me"}], dtype=object))
    with pytest.raises(DataError, match="undamaged factor model file"):
        FactorModel.load(path)


def test_a_header_without_a_field_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    model().save(path)
    with np.load(path) as stored:
        header = json.loads(stored["header"].tobytes())
    del header["content"]["score_scale"]
    rewrite(path, header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8))
    with pytest.raises(DataError, match="must hold a valid factor model"):
        FactorModel.load(path)


def test_a_model_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        model().score_mean = 0.0  # type: ignore[misc]
