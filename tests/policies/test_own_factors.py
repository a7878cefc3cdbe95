"""Candidates from the user's own factors: an npz file, or a class that the config names."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matinee_policies.candidates.candidate_source import fit_source
from matinee_policies.candidates.factor_file import FactorFileConfig, read_factor_file
from matinee_policies.candidates.fold_in import FoldInStatistics
from matinee_policies.candidates.score_table import ScoreTable
from matinee_policies.candidates.seen import empty_seen
from matinee_policies.candidates.source_data import SourceData
from matinee_policies.candidates.unit_ranker import UnitRanker
from matinee_policies.candidates.unit_vectors import UnitVectors
from matinee_policies.errors import ConfigError, DataError

M, N, F = 70, 12, 4
MakeData = Callable[..., SourceData]


def arrays() -> dict[str, Any]:
    """Factors of all items in another order, of one item that is left out, and of two users."""
    rng = np.random.default_rng(3)
    order = rng.permutation(M)
    return {
        "item_ids": np.append(order * 10, 999),
        "item_factors": rng.normal(size=(M + 1, F)),
        "item_offset": rng.normal(size=M + 1),
        "user_ids": np.array(["user-4", "user-99"]),
        "user_factors": rng.normal(size=(2, F)),
    }


def write(folder: Path, content: dict[str, Any]) -> str:
    path = folder / "factors.npz"
    np.savez(path, **content)
    return str(path)


def test_items_are_aligned_with_the_catalogue(tmp_path: Path, source_data: MakeData) -> None:
    content = arrays()
    reading = read_factor_file(FactorFileConfig(path=write(tmp_path, content)), source_data())
    for row in (0, 17, 69):
        place = content["item_ids"].tolist().index(row * 10)
        np.testing.assert_allclose(
            reading.model.item_factors[row], content["item_factors"][place], rtol=1e-6
        )
        assert reading.model.item_offset[row] == pytest.approx(content["item_offset"][place])
    assert reading.other_items == 1
    assert reading.vectors.vectors.shape == (1, F)


def test_vectors_of_other_units_only_are_refused(tmp_path: Path, source_data: MakeData) -> None:
    content = arrays()
    count = len(content["user_ids"])
    content["user_ids"] = np.array([f"visitor-{n}" for n in range(count)])
    data = source_data()
    data = replace(data, units=replace(data.units, example="user-0"))
    expected = (
        f"must name some of the 12 units such as 'user-0', but all {count} vectors are of others "
        "such as 'visitor-0'"
    )
    with pytest.raises(ConfigError, match=expected):
        fit_source("factor_file", {"path": write(tmp_path, content)}, data, seed=0)


def test_given_vectors_rank_by_hand_and_the_others_are_folded_in(
    tmp_path: Path, source_data: MakeData
) -> None:
    content = arrays()
    data = source_data()
    source = fit_source("factor_file", {"path": write(tmp_path, content)}, data, seed=0)
    assert "1 of 12 units have a given vector (1 given vectors are of other units)" in source.note
    assert "11 are folded in from their history" in source.note
    ranker = UnitRanker(source.model, source.own, keys=data.units.keys)
    vectors = np.tile(source.model.prior, (N, 1))
    units = np.array([4, 5], dtype=np.int32)
    got = ranker.rank(units, vectors[units], empty_seen(2, M), 10)
    for b, vector in ((0, content["user_factors"][0]), (1, source.model.prior)):
        raw = source.model.item_offset + source.model.item_factors @ vector
        assert got.items[b].tolist() == np.argsort(-raw)[:10].tolist()
    assert (vectors == source.model.prior).all()


def test_explicit_fold_in_is_ridge_regression_on_the_given_factors(
    tmp_path: Path, source_data: MakeData
) -> None:
    config = FactorFileConfig(
        path=write(tmp_path, arrays()), feedback="explicit", ridge=0.5, ridge_per_observation=0.1
    )
    model = read_factor_file(config, source_data()).model
    statistics = FoldInStatistics(model, 1)
    items = np.array([3, 40, 8], dtype=np.int32)
    stars = np.array([5.0, 2.0, 4.0], dtype=np.float32)
    statistics.add(np.zeros(3, dtype=np.int32), items, stars)
    Q = model.item_factors[items].astype(np.float64)
    ridge = (0.5 + 0.1 * 3) * np.eye(F)
    target = stars - model.item_offset[items]
    expected = np.linalg.solve(Q.T @ Q + ridge, Q.T @ target + ridge @ model.prior)
    got = statistics.solve(np.zeros(1, dtype=np.int32))[0]
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item_factors": None}, "must hold the array item_factors"),
        ({"extra": np.zeros(2)}, r"may hold item_ids, .* only, got \['extra'\]"),
        ({"user_ids": None}, "user_ids and user_factors must come together"),
        ({"item_ids": np.arange(M + 1) * 10}, "1 are not, the first of them, got 700"),
        ({"item_ids": np.full(M + 1, 10)}, "item_ids must be distinct; 70 come again"),
        ({"item_ids": np.arange(M + 1) / 2}, "item ids must be whole numbers, got 'float64'"),
        ({"item_factors": np.ones((M + 1, F)) * np.nan}, "item_factors must be finite"),
        ({"item_factors": np.full((M + 1, F), 1e300)}, "must be finite as float32, got 1e.300"),
        ({"item_factors": np.ones(M + 1)}, r"item_factors must be \[rows, factors\]"),
        ({"item_factors": np.array([["a"] * F] * (M + 1))}, "item_factors must hold numbers"),
        ({"item_factors": np.array([[{}] * F] * (M + 1))}, "must be an undamaged npz file"),
        ({"item_offset": np.ones(3)}, r"item_offset must have shape \(71,\), got \(3,\)"),
        ({"user_factors": np.ones((2, F + 1))}, r"user_factors must have shape \(2, 4\)"),
        ({"user_ids": np.array(["user-4", "user-4"])}, "user_ids must be distinct; 1 come again"),
    ],
)
def test_bad_files_are_refused(
    tmp_path: Path, source_data: MakeData, change: dict[str, Any], message: str
) -> None:
    content = {key: value for key, value in {**arrays(), **change}.items() if value is not None}
    with pytest.raises(DataError, match=message) as caught:
        read_factor_file(FactorFileConfig(path=write(tmp_path, content)), source_data())
    assert "user-" not in str(caught.value)


def test_every_item_of_the_catalogue_needs_factors(tmp_path: Path, source_data: MakeData) -> None:
    content = arrays()
    missing = sorted(content["item_ids"][:2].tolist())
    for name in ("item_ids", "item_factors", "item_offset"):
        content[name] = content[name][2:]
    message = f"all 70 items of the catalogue; 2 are missing, the first of them, got {missing[0]}"
    with pytest.raises(DataError, match=message):
        read_factor_file(FactorFileConfig(path=write(tmp_path, content)), source_data())


def test_missing_and_damaged_files_are_refused(tmp_path: Path, source_data: MakeData) -> None:
    with pytest.raises(DataError, match="file must exist"):
        read_factor_file(FactorFileConfig(path=str(tmp_path / "none.npz")), source_data())
    (tmp_path / "broken.npz").write_bytes(b"PK not a zip")
    with pytest.raises(DataError, match="must be an undamaged npz file"):
        read_factor_file(FactorFileConfig(path=str(tmp_path / "broken.npz")), source_data())
    with pytest.raises(ConfigError, match="feedback must be one of explicit, implicit"):
        FactorFileConfig(path="x", feedback="stars")
    with pytest.raises(ConfigError, match="ridge must be > 0"):
        FactorFileConfig(path="x", ridge=0)


def test_unit_vectors_survive_save_and_load(tmp_path: Path) -> None:
    vectors = UnitVectors(np.array([3, 8], dtype=np.uint64), np.ones((2, F), dtype=np.float32))
    vectors.save(tmp_path / "v.npz")
    again = UnitVectors.load(tmp_path / "v.npz")
    np.testing.assert_array_equal(again.keys, vectors.keys)
    np.testing.assert_array_equal(again.vectors, vectors.vectors)


SOURCES = """
import numpy as np
from matinee_policies.candidates.popularity import PopularityConfig, fit_popularity


class Newest:
    def __init__(self, *, step=1):
        self.step = step

    def fit(self, interactions, catalogue, *, seed):
        self.n_items = len(catalogue)

    def candidates(self, histories, *, k):
        own = (np.arange(k) + self.step * histories.user_ids[:, None]) % self.n_items
        return own, -np.arange(k) * np.ones((histories.n_users, 1))


class Model:
    def fit(self, interactions, catalogue, *, seed):
        return fit_popularity(interactions, PopularityConfig(), seed=seed)


class SmallModel(Model):
    def fit(self, interactions, catalogue, *, seed):
        return super().fit(
            interactions.subset_items(np.arange(9, dtype=np.int32)), catalogue, seed=seed
        )


class NoFit:
    pass


class NoLists:
    def fit(self, interactions, catalogue, *, seed):
        return None


class GivesText(NoLists):
    def fit(self, interactions, catalogue, *, seed):
        return "model"


class Fails(NoLists):
    def fit(self, interactions, catalogue, *, seed):
        return {}["weights"]


def giving(make):
    class Giving(NoLists):
        def candidates(self, histories, *, k):
            return make(histories.n_users, k)

    return Giving


Nothing = giving(lambda n, k: None)
OtherShape = giving(lambda n, k: (np.zeros((n, k), int), np.zeros((n, k + 1))))
TooMany = giving(lambda n, k: (np.tile(np.arange(k + 1), (n, 1)), np.zeros((n, k + 1))))
Unknown = giving(lambda n, k: (np.full((n, 1), 70), np.zeros((n, 1))))
Twice = giving(lambda n, k: (np.full((n, 2), 7), np.zeros((n, 2))))
Nan = giving(lambda n, k: (np.full((n, 1), 7), np.full((n, 1), np.nan)))
Halves = giving(lambda n, k: (np.full((n, 1), 0.5), np.zeros((n, 1))))
Empty = giving(lambda n, k: (np.full((n, 1), -1), np.full((n, 1), np.nan)))
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_sources.py").write_text(SOURCES, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_sources", raising=False)


def custom(data: SourceData, name: str, **settings: Any) -> Any:
    return fit_source("custom", settings, data, seed=0, object_name=f"my_sources:{name}")


def test_a_class_gives_lists_of_all_units(source_data: MakeData) -> None:
    data = source_data()
    source = custom(data, "Newest", step=3)
    assert isinstance(source.own, ScoreTable)
    ranker = UnitRanker(source.model, source.own, keys=data.units.keys)
    units = np.array([5, 0], dtype=np.int32)
    vectors = np.tile(source.model.prior, (2, 1))
    got = ranker.rank(units, vectors, empty_seen(2, M), 4)
    assert got.items.tolist() == [[15, 16, 17, 18], [0, 1, 2, 3]]
    assert "12 of 12 units have a list (of 70 items on average), 0 fall back" in source.note


def test_lists_do_not_depend_on_how_units_are_asked_for(
    source_data: MakeData, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = custom(source_data(), "Newest").own
    monkeypatch.setattr("matinee_policies.candidates.custom_source._UNITS_AT_ONCE", 5)
    pieces = custom(source_data(), "Newest").own
    np.testing.assert_array_equal(whole.items, pieces.items)


def test_a_class_gives_a_model(source_data: MakeData) -> None:
    source = custom(source_data(), "Model")
    assert source.own is None
    assert source.model.kind == "custom"
    assert source.model.n_items == M


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Missing", "no class 'Missing'; its classes are Newest, Model"),
        ("NoFit", r"must have a method fit\(interactions, catalogue"),
        ("NoLists", "there must be a method candidates"),
        ("GivesText", "fit must give a FactorModel or None, got <class 'str'>"),
        ("SmallModel", "a model of the 70 items of the catalogue, got 9"),
        ("Fails", r"fit failed: KeyError: 'weights' \(my_sources.py, line \d+\)"),
        ("Nothing", r"candidates must give \(items, scores\)"),
        ("OtherShape", r"must both have the shape \(12, at most 70\)"),
        ("TooMany", r"at most 70\), got \(12, 71\)"),
        ("Unknown", "within 0 and 69, or -1, got 70"),
        ("Twice", "items of a unit must be distinct"),
        ("Nan", "scores must be finite, got nan"),
        ("Halves", "items must be whole numbers and scores numbers, got float64"),
        ("Empty", "must list at least one item"),
    ],
)
def test_a_class_that_gives_something_else_is_refused(
    source_data: MakeData, name: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        custom(source_data(), name)


def test_settings_reach_the_class(source_data: MakeData) -> None:
    with pytest.raises(ConfigError, match=r"__init__ failed: TypeError: .*colour"):
        custom(source_data(), "Newest", colour="red")


def test_unknown_kinds_are_refused(source_data: MakeData) -> None:
    with pytest.raises(
        ConfigError, match="popularity, factor_file, score_table, custom, got 'als'"
    ):
        fit_source("als", {}, source_data(), seed=0)
