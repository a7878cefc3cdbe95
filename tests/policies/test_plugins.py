"""Classes that a config names: found or refused by name, checked against the contract."""

import sys
from pathlib import Path

import pytest

from matinee_policies.errors import ConfigError, SnapshotError
from matinee_policies.plugins import is_plugin, load_class
from matinee_policies.policy_check import check_policy
from matinee_policies.registry import build_policy, restore_policy
from matinee_policies.snapshot import Snapshot

BROKEN = """
import numpy as np

from matinee_policies import EpsilonGreedy, EpsilonGreedyConfig, SlateBatch


class Good(EpsilonGreedy):
    config_type = EpsilonGreedyConfig


class RepeatsItems(Good):
    def decide(self, contexts, *, slots, keys):
        drawn = super().decide(contexts, slots=slots, keys=keys)
        drawn.positions[:, 1] = drawn.positions[:, 0]
        drawn.items[:, 1] = drawn.items[:, 0]
        return drawn


class WrongPropensity(Good):
    def decide(self, contexts, *, slots, keys):
        drawn = super().decide(contexts, slots=slots, keys=keys)
        return SlateBatch(drawn.positions, drawn.items, drawn.propensities * 0.99)


class CountsDecisions(Good):
    def decide(self, contexts, *, slots, keys):
        self._state.theta[0] += 1e-9
        return super().decide(contexts, slots=slots, keys=keys)


class ThrowsDice(Good):
    def decide(self, contexts, *, slots, keys):
        dice = np.random.default_rng().integers(0, 2**64, size=len(keys), dtype=np.uint64)
        return super().decide(contexts, slots=slots, keys=keys ^ dice)


class DrawsFromAnotherLaw(Good):
    def decide(self, contexts, *, slots, keys):
        honest = self._rule
        self._rule = type(honest)(honest.code, honest.parameter, 0.2, honest.floor)
        drawn = super().decide(contexts, slots=slots, keys=keys)
        self._rule = honest
        law = self.propensities(contexts, drawn.positions)
        return SlateBatch(drawn.positions, drawn.items, law)


class Fails(Good):
    def decide(self, contexts, *, slots, keys):
        raise KeyError("novelty")


class NoConfig(EpsilonGreedy):
    config_type = dict


class Nothing:
    name = "nothing"


class NeedsMore(Good):
    def __init__(self, config, *, dimension, colour):
        super().__init__(config, dimension=dimension)
"""


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_policies.py").write_text(BROKEN, encoding="utf-8")
    (tmp_path / "does_not_parse.py").write_text("def", encoding="utf-8")
    (tmp_path / "wants_more.py").write_text("import no_such_package_here", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("my_policies", "does_not_parse", "wants_more"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_policies.Good", "must be named as module:Class, got 'my_policies.Good'"),
        ("my_policies:", "must be named as module:Class"),
        ("../evil:Good", "must be named as module:Class"),
        ("my_policies:Good()", "must be named as module:Class"),
        ("no_such_module:Good", "no module 'no_such_module' among the installed packages"),
        ("my_policies.inner:Good", "'my_policies.inner'|not a package"),
        ("my_policies:Godo", "no class 'Godo'; its classes are Good, RepeatsItems"),
        ("my_policies:np", "no class 'np'"),
        ("does_not_parse:Good", "cannot be imported: SyntaxError"),
        ("wants_more:Good", "cannot be imported: ModuleNotFoundError: .*no_such_package_here"),
    ],
)
def test_a_class_that_is_not_there_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_class(name)


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("Nothing", {}, "must have decide, propensities, learn, snapshot, from_snapshot, learns"),
        ("NoConfig", {}, "config_type of policy my_policies:NoConfig must be a subclass of Config"),
        ("Good", {"epsilon": 2.0}, "epsilon must be <= 1, got 2.0"),
        ("Good", {"colour": 1}, "has no setting 'colour'"),
        ("NeedsMore", {}, "cannot be built: TypeError: .*colour"),
    ],
)
def test_a_class_that_is_no_policy_is_refused(
    name: str, config: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build_policy(f"my_policies:{name}", config, dimension=4)


def test_a_module_is_imported_only_when_named() -> None:
    assert is_plugin("my_policies:Good")
    build_policy("lin_ucb", {}, dimension=4)
    assert "my_policies" not in sys.modules
    build_policy("my_policies:Good", {}, dimension=4)
    assert "my_policies" in sys.modules


def test_a_snapshot_is_restored_by_the_name_in_the_config_alone() -> None:
    policy = build_policy("my_policies:Good", {"epsilon": 0.3}, dimension=4)
    restored = restore_policy(policy.snapshot(), kind="my_policies:Good")
    assert type(restored) is type(policy)
    assert restored.config == policy.config
    foreign = Snapshot(kind="my_policies:Good", version=1, arrays={}, manifest={})
    with pytest.raises(SnapshotError, match="snapshot must be of kind"):
        restore_policy(foreign)
    with pytest.raises(SnapshotError):
        restore_policy(foreign, kind="my_policies:Good")


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("Good", None),
        ("RepeatsItems", "slates hold distinct candidates"),
        ("WrongPropensity", "drawn propensities are those of any slate"),
        ("CountsDecisions", "deciding leaves the state alone"),
        ("ThrowsDice", "same key same slate"),
        ("DrawsFromAnotherLaw", "draws follow the law"),
        ("Fails", "slates hold distinct candidates"),
    ],
)
def test_the_broken_rule_is_named(name: str, broken: str | None) -> None:
    results = check_policy(
        lambda: build_policy(f"my_policies:{name}", {}, dimension=4), dimension=4, draws=20_000
    )
    failed = {result.rule: result.reason for result in results if not result.passed}
    assert len(results) == 16
    if broken is None:
        assert failed == {}
    else:
        assert failed[broken]
        assert all(len(reason) <= 300 for reason in failed.values())
    if name == "Fails":
        assert failed["slates hold distinct candidates"] == "KeyError: 'novelty'"
