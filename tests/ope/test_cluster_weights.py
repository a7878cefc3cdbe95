"""MIPS from the command line: weights of clusters against sums written out by hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_platform.ope import evaluate_actions
from matinee_platform.ope.inputs.obp_arrays import obp_log
from matinee_platform.ope.inputs.target_law import logged_stream, uniform_law
from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ContextError, DataError

N, K = 3_000, 4
TARGET = np.array([0.1, 0.6, 0.2, 0.1])
CLUSTERS = ["shirts", "shirts", "hats", "shoes"]
BARE = ("--estimators", "mips", "--reward-model", "none", "--json")


def written(folder: Path, *, p: float = 1.0 / K) -> pd.DataFrame:
    """A log, a policy and clusters as files."""
    rng = np.random.default_rng(11)
    item = rng.integers(0, K, N)
    table = pd.DataFrame({"item": item, "click": (rng.random(N) < 0.3) * 1.0, "p": p})
    table.to_csv(folder / "log.csv", index=False)
    policy = pd.DataFrame({"item": range(K), "probability": TARGET})
    policy.to_csv(folder / "policy.csv", index=False)
    # Clusters may be known of more than the log names.
    clusters = pd.DataFrame({"item": range(K + 1), "cluster": [*CLUSTERS, "socks"]})
    clusters.to_csv(folder / "clusters.csv", index=False)
    return table


def words(folder: Path, *more: str) -> list[str]:
    columns = [f"--column={use}" for use in ("action=item", "reward=click", "propensity=p")]
    return ["ope", str(folder / "log.csv"), *columns, "--policy", str(folder / "policy.csv"), *more]


def test_the_command_weighs_clusters(tmp_path: Path) -> None:
    table = written(tmp_path)
    done = CliRunner().invoke(
        app, words(tmp_path, "--clusters", str(tmp_path / "clusters.csv"), *BARE)
    )
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.stdout)[0]["policies"]
    # Both shirts together: 0.7 of the policy over 0.5 of the log.
    weights = np.array([0.7 / 0.5, 0.7 / 0.5, 0.2 / 0.25, 0.1 / 0.25])[table["item"]]
    assert told["value"] == pytest.approx((weights * table["click"]).mean(), rel=1e-12)


def test_uniform_propensities_of_six_digits_are_uniform() -> None:
    log = obp_log(
        {
            "n_actions": 7,
            "action": np.arange(7),
            "reward": np.ones(7),
            "pscore": np.full(7, 0.142857),
        }
    )
    (part,) = logged_stream(log, uniform_law(log), clusters=np.arange(7) % 2)()
    assert part.marginal is not None
    np.testing.assert_allclose(part.marginal, 1.0, rtol=1e-15)


def test_without_clusters_there_is_no_mips(tmp_path: Path) -> None:
    written(tmp_path)
    done = CliRunner().invoke(app, words(tmp_path, *BARE))
    assert "mips needs clusters of items" in done.output + str(done.exception)


def test_a_law_that_is_not_known_is_refused(tmp_path: Path) -> None:
    written(tmp_path, p=0.2)
    done = CliRunner().invoke(
        app, words(tmp_path, "--clusters", str(tmp_path / "clusters.csv"), *BARE)
    )
    assert done.exit_code != 0
    assert "weights of clusters need the whole law" in done.output + str(done.exception)


def test_clusters_are_weighed_among_what_could_be_shown() -> None:
    pages = np.array([[0, 1], [2, 0], [1, -1]])
    log = obp_log(
        {
            "n_actions": K,
            "slate_id": np.repeat(np.arange(3), 2),
            "position": np.tile([0, 1], 3),
            "action": pages.ravel(),
            "reward": np.ones(6),
            "pscore_slot": np.array([1 / 4, 1 / 3, 1 / 4, 1 / 3, 1 / 4, 1.0]),
        },
        distinct=True,
    )
    clusters = np.array([0, 0, 1, 2])
    (part,) = logged_stream(log, uniform_law(log), clusters=clusters)()
    assert part.marginal is not None
    np.testing.assert_allclose(part.marginal, 1.0, rtol=1e-15)

    def first_only(batch: object) -> FloatArray:
        return np.tile(np.array([0.0, 1.0, 0.0, 0.0]), (3, 2, 1))

    (part,) = logged_stream(log, first_only, clusters=clusters)()
    assert part.marginal is not None
    # Above stands item 0, then item 1 is the last shirt of three; above item 2 both are left.
    np.testing.assert_allclose(part.marginal, [[2.0, 3.0], [0.0, 1.5], [2.0, 1.0]])
    with pytest.raises(ContextError, match="not its column alone"):
        logged_stream(log, None, clusters=clusters)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("0,a\n1,a\n2,b\n", "each item of the log must have a cluster.*3"),
        ("0,a\n1,a\n2,b\n3,b\n3,c\n", "each item must have one cluster.*3"),
    ],
)
def test_a_table_with_a_gap_or_a_doubt_is_refused(tmp_path: Path, rows: str, told: str) -> None:
    path = tmp_path / "clusters.csv"
    path.write_text(f"item,cluster\n{rows}")
    rng = np.random.default_rng(1)
    log = obp_log(
        {
            "n_actions": K,
            "action": rng.integers(0, K, 100),
            "reward": np.ones(100),
            "pscore": np.full(100, 1 / K),
        }
    )
    with pytest.raises(DataError, match=told):
        evaluate_actions(log, "uniform", clusters=path, reward_model="none")
