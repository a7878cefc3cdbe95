"""`matinee candidates evaluate`: whole records, against brute force where a source is simple."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from matinee_platform.candidate_evaluation import (
    chosen_sources,
    evaluate_candidates,
    fitted_sources,
)
from matinee_platform.commands.candidates import app
from matinee_platform.report.candidate_table import print_evaluation
from matinee_platform.settings import SourceSettings
from matinee_policies.catalogue import Catalogue
from matinee_policies.datasets.dataset import Dataset
from matinee_policies.datasets.locate import open_dataset
from matinee_policies.datasets.table import TableSpec, load_table
from matinee_policies.errors import ConfigError
from matinee_policies.interactions import Interactions
from matinee_policies.tag_table import TagTable

N, M = 40, 30


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """40 users rate 4 to 14 of 30 items; who rated 4 has nothing held out."""
    rng = np.random.default_rng(0)
    rows = [(user, item) for user in range(N) for item in rng.permutation(M)[: 4 + user % 11]]
    users, items = (np.array(column) for column in zip(*rows, strict=True))
    interactions = Interactions.from_triplets(
        users,
        items,
        rng.integers(1, 11, size=users.size) / 2,
        rng.permutation(users.size),
        user_ids=np.arange(100, 100 + N, dtype=np.int64),
        item_ids=np.arange(M, dtype=np.int64),
        rating_range=(0.5, 5.0),
    )
    none = TagTable.from_lists([[]] * M)
    catalogue = Catalogue(
        ids=interactions.item_ids,
        titles=tuple(f"item {i}" for i in range(M)),
        years=np.zeros(M, dtype=np.int16),
        genre_names=(),
        genres=np.zeros((M, 0), dtype=np.bool_),
        people=none,
        keywords=none,
        embeddings=np.zeros((M, 0), dtype=np.float32),
    )
    return Dataset(
        name="tiny", description="tiny data", catalogue=catalogue, interactions=interactions
    )


def plain_split(dataset: Dataset) -> tuple[dict[int, list[int]], dict[int, set[int]]]:
    """Items each user rated earlier, and the last fifth of them by time."""
    train, test = {}, {}
    matrix = dataset.interactions.matrix
    for user in range(N):
        place = range(matrix.indptr[user], matrix.indptr[user + 1])
        by_time = sorted(place, key=lambda p: dataset.interactions.times[p])
        cut = len(by_time) - len(by_time) // 5
        train[user] = [int(matrix.indices[p]) for p in by_time[:cut]]
        test[user] = {int(matrix.indices[p]) for p in by_time[cut:]}
    return train, test


def plain_scores(dataset: Dataset, ranked: dict[int, list[int]], k: int) -> dict[str, float]:
    train, test = plain_split(dataset)
    counts = [sum(item in train[user] for user in range(N)) for item in range(M)]
    recalls, gains, bits = [], [], []
    for user in range(N):
        top = [item for item in ranked[user] if item not in train[user]][:k]
        bits.append(sum(-math.log2(max(counts[i], 1) / N) for i in top) / len(top))
        if test[user]:
            recalls.append(len(test[user] & set(top)) / len(test[user]))
            gained = sum(1 / math.log2(r + 2) for r, i in enumerate(top) if i in test[user])
            best = sum(1 / math.log2(r + 2) for r in range(min(k, len(test[user]))))
            gains.append(gained / best)
    shown = {i for user in range(N) for i in [j for j in ranked[user] if j not in train[user]][:k]}
    return {
        "recall": float(np.mean(recalls)),
        "ndcg": float(np.mean(gains)),
        "novelty": float(np.mean(bits)),
        "coverage": len(shown) / M,
    }


def assert_scores(at: dict[str, Any], expected: dict[str, float]) -> None:
    assert at["coverage"] == pytest.approx(expected["coverage"])
    for name in ("recall", "ndcg", "novelty"):
        assert at[name]["value"] == pytest.approx(expected[name])
        assert at[name]["low"] <= at[name]["value"] <= at[name]["high"]


def test_popularity_equals_brute_force_with_ties_to_the_lowest_item(dataset: Dataset) -> None:
    train, _ = plain_split(dataset)
    counts = [sum(item in train[user] for user in range(N)) for item in range(M)]
    assert len(set(counts)) < M
    order = sorted(range(M), key=lambda item: (-counts[item], item))
    sources = chosen_sources(fitted_sources(), ["popularity"])
    record = evaluate_candidates(dataset, sources, ks=[8, 3], seed=0)
    assert record["k"] == [3, 8]
    assert record["users_with_held_out"] < N
    scores = record["sources"]["popularity"]
    assert scores["rmse"] is None
    assert scores["mae"] is None
    for k in (3, 8):
        assert_scores(
            scores["at"][str(k)], plain_scores(dataset, dict.fromkeys(range(N), order), k)
        )


def test_lists_of_another_recommender_equal_brute_force(dataset: Dataset, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    ranked = {user: rng.permutation(M).tolist() for user in range(N)}
    rows = [(100 + u, i, float(M - r)) for u in range(N) for r, i in enumerate(ranked[u])]
    columns = {name: [row[c] for row in rows] for c, name in enumerate(("unit", "item", "score"))}
    pq.write_table(pa.table(columns), tmp_path / "scores.parquet")
    sources = {
        "theirs": SourceSettings(
            kind="score_table", settings={"path": str(tmp_path / "scores.parquet")}
        )
    }
    scores = evaluate_candidates(dataset, sources, ks=[5], seed=0)["sources"]["theirs"]
    assert_scores(scores["at"]["5"], plain_scores(dataset, ranked, 5))
    assert "40 of 40 units have a list" in scores["note"]
    assert scores["rmse"] is None


def test_users_with_text_ids_are_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    lines = ["who,what,stars,at"]
    lines += [
        f"{who},i{what},{rng.integers(1, 6)},{rng.integers(10**6)}"
        for who in ("zoe", "7", "amy")
        for what in range(10)
    ]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    spec = TableSpec(path=path, users="who", items="what", ratings="stars", timestamps="at")
    table = load_table(spec)
    assert table.user_labels == ("7", "amy", "zoe")
    rows = [("zoe", f"i{n}", float(n)) for n in range(10)] + [("7", "i3", 1.0)]
    columns = {name: [row[c] for row in rows] for c, name in enumerate(("unit", "item", "score"))}
    pq.write_table(pa.table(columns), tmp_path / "scores.parquet")
    source = SourceSettings(kind="score_table", settings={"path": str(tmp_path / "scores.parquet")})
    record = evaluate_candidates(table, {"theirs": source}, ks=[2], seed=0)
    assert "2 of 3 units have a list" in record["sources"]["theirs"]["note"]
    columns["unit"] = ["user-1"] * len(rows)
    columns["item"] = [f"i{n % 10}" for n in range(len(rows))]
    pq.write_table(pa.table(columns), tmp_path / "scores.parquet")
    expected = (
        "theirs: .* of the 3 units such as '7', but all 11 rows are of others such as 'user-1'"
    )
    with pytest.raises(ConfigError, match=expected):
        evaluate_candidates(table, {"theirs": source}, ks=[2], seed=0)


def test_given_factors_predict_ratings_as_by_hand(dataset: Dataset, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    Q, P, offset = rng.normal(size=(M, 3)), rng.normal(size=(N, 3)), np.full(M, 3.0)
    path = tmp_path / "f.npz"
    np.savez(
        path,
        item_ids=np.arange(M),
        item_factors=Q,
        item_offset=offset,
        user_ids=np.arange(100, 100 + N),
        user_factors=P,
    )
    settings = {"path": str(path), "feedback": "explicit"}
    record = evaluate_candidates(
        dataset, {"f": SourceSettings(kind="factor_file", settings=settings)}, ks=[5], seed=0
    )
    _, test = plain_split(dataset)
    matrix = dataset.interactions.matrix.toarray()
    errors = [
        min(max(3.0 + float(P[user] @ Q[item]), 0.5), 5.0) - float(matrix[user, item])
        for user in range(N)
        for item in test[user]
    ]
    scores = record["sources"]["f"]
    assert scores["rmse"]["value"] == pytest.approx(math.sqrt(np.mean(np.square(errors))))
    assert scores["mae"]["value"] == pytest.approx(np.mean(np.abs(errors)))
    ranked = {user: np.argsort(-(Q @ P[user])).tolist() for user in range(N)}
    assert_scores(scores["at"]["5"], plain_scores(dataset, ranked, 5))


def test_only_rating_predictors_have_rating_errors(
    dataset: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    every = fitted_sources()
    small = {"biased_als": {"factors": 2}, "implicit_als": {"factors": 2}, "svd": {"factors": 2}}
    sources = {name: SourceSettings(kind=name, settings=small.get(name, {})) for name in every}
    record = evaluate_candidates(dataset, sources, ks=[5], seed=0)
    rated = {name for name, source in record["sources"].items() if source["rmse"] is not None}
    assert rated == {"biased_als"}
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    print_evaluation(record)
    text = capsys.readouterr().out
    assert "recall@5" in text
    assert f"{record['sources']['biased_als']['rmse']['value']:.4f} (" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sources", "als"], "sources must be of biased_als, implicit_als, svd, popularity"),
        (["--k", "ten"], "--k takes whole numbers such as 10,100, got 'ten'"),
        (["--k", "0"], "k must be within 1 and"),
        (["--data", "/nonexistent"], "/nonexistent"),
    ],
)
def test_mistakes_are_config_errors(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MATINEE_DATA", raising=False)
    done = CliRunner().invoke(app, ["evaluate", "--sources", "popularity", *words])
    assert message in str(done.exception)


def test_a_dataset_without_anything_to_hold_out_is_refused(dataset: Dataset) -> None:
    few = Dataset(
        name="few",
        description="few",
        catalogue=dataset.catalogue,
        interactions=Interactions.from_triplets(
            *(np.arange(3), np.arange(3), np.full(3, 4.0), np.arange(3)),
            n_users=3,
            item_ids=dataset.catalogue.ids,
            rating_range=(0.5, 5.0),
        ),
    )
    with pytest.raises(ConfigError, match="no user has enough ratings"):
        evaluate_candidates(few, fitted_sources(), ks=[2], seed=0)


@pytest.mark.real_data
def test_what_is_known_of_movielens_holds() -> None:
    folder = os.environ.get("MATINEE_DATA")
    if not folder:
        pytest.skip("MATINEE_DATA is not set")
    record = evaluate_candidates(open_dataset(Path(folder)), fitted_sources(), ks=[100], seed=1)
    at = {name: source["at"]["100"] for name, source in record["sources"].items()}
    assert at["implicit_als"]["recall"]["low"] > 1.3 * at["popularity"]["recall"]["high"]
    assert at["popularity"]["novelty"]["high"] < at["biased_als"]["novelty"]["low"]
    assert record["sources"]["biased_als"]["rmse"]["high"] < 0.95
