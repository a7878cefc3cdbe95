"""An experiment over the user's own candidates and policy: runs, verifies, keeps ids to itself."""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matinee_platform.decision_log import read_parts
from matinee_platform.log_schema import matrix
from matinee_platform.offline.run import run_experiment
from matinee_platform.serving_model import load_serving_model
from matinee_platform.settings import load_settings
from matinee_platform.verify import check_arm
from matinee_policies.datasets.locate import open_dataset
from matinee_policies.errors import ConfigError

USERS, LISTED = 90, 60

CONFIG = """
name: own
users: 90
days: 4
slots: 4
candidates: 20
world: {arrival_days: 2}
sources:
  factors: {kind: factor_file, settings: {path: factors.npz}}
  lists: {kind: score_table, settings: {path: scores.parquet}}
  mine: {kind: custom, object: "shop:Rotation", settings: {step: 7}}
arms:
  - {name: factors, weight: 0.25, candidates: factors, policy: {kind: score_order}}
  - {name: lists, weight: 0.25, candidates: lists, policy: {kind: score_order}}
  - {name: mine, weight: 0.25, candidates: mine, policy: {kind: lin_ucb}}
  - name: own_policy
    weight: 0.25
    candidates: factors
    policy: {kind: "shop:Boltzmann", temperature: 0.2}
"""

SHOP = '''
from dataclasses import dataclass

import numpy as np

from matinee_policies import Config
from matinee_policies.linear_policy import LinearPolicy, counter_of
from matinee_policies.rules import softmax_rule
from matinee_policies.value_policy import config_of


class Rotation:
    def __init__(self, step):
        self.step = step

    def fit(self, interactions, catalogue, *, seed):
        self.n_items = len(catalogue)

    def candidates(self, histories, *, k):
        items = (np.arange(k) + self.step * histories.user_ids[:, None]) % self.n_items
        return items, -np.arange(k) * np.ones((histories.n_users, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class BoltzmannConfig(Config):
    temperature: float = 0.1


class Boltzmann(LinearPolicy):
    """Learns, so that its snapshots change from day to day."""

    name = "boltzmann"
    config_type = BoltzmannConfig

    def __init__(self, config, *, dimension):
        super().__init__(
            config,
            dimension=dimension,
            rule=softmax_rule(config.temperature),
            diversity=0.0,
            alpha=0.0,
            l2=1.0,
        )

    @classmethod
    def from_snapshot(cls, snapshot):
        config = config_of(snapshot, BoltzmannConfig, kind=cls.name)
        policy = cls(config, dimension=counter_of(snapshot, "dimension", low=1))
        policy._restore(snapshot)
        return policy
'''


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, small_data: Path) -> Path:
    """A folder with a config, files of factors and scores, and a module."""
    folder = tmp_path_factory.mktemp("shop")
    ids = open_dataset(small_data).catalogue.ids
    rng = np.random.default_rng(0)
    np.savez(
        folder / "factors.npz",
        item_ids=ids,
        item_factors=rng.normal(size=(ids.size, 6)),
        user_ids=np.array(["user-0", "user-5", "someone"]),
        user_factors=rng.normal(size=(3, 6)),
    )
    listed = [(f"user-{n}", item, rng.random()) for n in range(LISTED) for item in ids[n : n + 30]]
    columns = {name: [row[i] for row in listed] for i, name in enumerate(("unit", "item", "score"))}
    pq.write_table(pa.table(columns), folder / "scores.parquet")
    (folder / "shop.py").write_text(SHOP, encoding="utf-8")
    (folder / "config.yaml").write_text(f"{CONFIG}data: {small_data}\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(shop: Path) -> Path:
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MATINEE_DATA", raising=False)
        patch.chdir(shop)
        patch.syspath_prepend(shop)
        settings = load_settings(Path("config.yaml"))
        run_experiment(settings, shop / "run", workers=1, announce=lines.append)
    told = "\n".join(lines)
    assert "Source factors: factors of" in told
    assert "2 of 90 units have a given vector (1 given vectors are of other units)" in told
    assert f"Source lists: {LISTED} of {USERS} units have a list" in told
    assert "30 fall back to popularity" in told
    assert f"Source mine: shop:Rotation: {USERS} of {USERS} units have a list" in told
    return shop / "run"


@pytest.fixture(autouse=True)
def _shop_is_forgotten(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(shop)])


def test_every_slot_rescores_to_ratio_one_without_the_files(
    run: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("factors.npz", "scores.parquet"):
        (shop / name).unlink()
    monkeypatch.chdir(shop)
    model = load_serving_model(run / "model")
    checks = {arm: check_arm(run, arm, model) for arm in ("factors", "lists", "mine", "own_policy")}
    assert all(check.slots > 0 and check.passed for check in checks.values())
    assert checks["own_policy"].neighbour_unequal > 0


def test_verify_elsewhere_says_which_module_is_missing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="there is no module 'shop'"):
        check_arm(run, "own_policy", load_serving_model(run / "model"))


def test_candidates_of_listed_units_start_with_their_list(run: Path) -> None:
    full = 0
    for table in read_parts(run, "decisions", "lists"):
        first = table["page"].to_numpy() == 0
        scores = matrix(table["scores"])[first]
        assert ((scores > 0) & (scores < 1)).all()
        assert (np.diff(scores, axis=1) <= 0).all()
        full += int(first.sum())
    assert full > 10


def test_raw_ids_stay_outside_the_run(run: Path) -> None:
    for path in run.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"user-5" not in content, path
            assert "someone".encode("utf-32-le") not in content, path
