"""Classes that a config names: found or refused by name, checked against the contract."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matinee_policies.arrays import AnyArray
from matinee_policies.errors import ConfigError, ContextError, SnapshotError
from matinee_policies.plugins import is_plugin, load_class, module_digests
from matinee_policies.policy_check import check_policy
from matinee_policies.registry import build_policy, restore_policy
from matinee_policies.snapshot import Snapshot
from matinee_policies.testing_data import example_contexts, example_keys, example_outcomes

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


class FailsLater(Good):
    def propensities(self, contexts, slates):
        return {}["law"]

    def learn(self, outcomes):
        raise ZeroDivisionError("no rows")

    def snapshot(self):
        raise AttributeError("no state")


class GivesNone(Good):
    decide = propensities = lambda self, *_, **__: None
    snapshot = lambda self: {}


class Alters(Good):
    config_type = EpsilonGreedyConfig
    change = staticmethod(lambda positions, items, law: None)

    def decide(self, contexts, *, slots, keys):
        drawn = super().decide(contexts, slots=slots, keys=keys)
        given = self.change(drawn.positions, drawn.items, drawn.propensities)
        return SlateBatch(*given) if given else drawn


class NamesItself(Good):
    @classmethod
    def from_snapshot(cls, snapshot):
        return NamesItself(EpsilonGreedyConfig(), dimension=4)


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


def test_a_change_of_a_module_changes_its_digest(tmp_path: Path) -> None:
    names = ["lin_ucb", "my_policies:Good", "my_policies:Fails"]
    first = module_digests(names)
    assert first == {"my_policies": hashlib.sha256(BROKEN.encode()).hexdigest()}
    with (tmp_path / "my_policies.py").open("a", encoding="utf-8") as file:
        file.write("# changed")
    changed = hashlib.sha256(f"{BROKEN}# changed".encode()).hexdigest()
    assert module_digests(names) == {"my_policies": changed}
    (tmp_path / "my_policies.py").unlink()
    with pytest.raises(ConfigError, match=r"my_policies\.py cannot be read: No such file"):
        module_digests(names)
    with pytest.raises(ConfigError, match="no class 'Godo'"):
        module_digests(["my_policies:Godo"])


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
    assert len(results) == 18
    if broken is None:
        assert failed == {}
    else:
        assert failed[broken]
        assert all(len(reason) <= 300 for reason in failed.values())
    if name == "Fails":
        reason = failed["slates hold distinct candidates"]
        assert "my_policies:Fails: decide failed: KeyError: 'novelty' (my_policies.py" in reason


def set_place(array: AnyArray, value: float) -> None:
    array[1, 2] = value


def set_padding(array: AnyArray, value: float) -> None:
    array[0, -1] = value


def test_a_failure_of_an_own_policy_names_class_method_and_cause() -> None:
    contexts = example_contexts(5, decisions=3, candidates=6, dimension=4)
    slates = np.tile(np.arange(2, dtype=np.int32), (3, 1))
    policy = build_policy("my_policies:FailsLater", {}, dimension=4)
    calls: dict[str, Callable[[], object]] = {
        "propensities failed: KeyError: 'law'": lambda: policy.propensities(contexts, slates),
        "learn failed: ZeroDivisionError: no rows": lambda: policy.learn(
            example_outcomes(1, slates=5, dimension=4)
        ),
        "snapshot failed: AttributeError: no state": policy.snapshot,
    }
    for message, call in calls.items():
        told = rf"^my_policies:FailsLater: {message} \(my_policies.py, line \d+\)$"
        with pytest.raises(ConfigError, match=told):
            call()


def test_an_error_of_ours_keeps_its_class_and_gets_a_name() -> None:
    policy = build_policy("my_policies:Good", {}, dimension=4)
    contexts = example_contexts(5, decisions=3, candidates=6, dimension=4)
    with pytest.raises(ContextError, match=r"^my_policies:Good: decide: slots must be"):
        policy.decide(contexts, slots=0, keys=example_keys(3))


def test_a_restored_policy_is_guarded_too() -> None:
    policy = build_policy("my_policies:NamesItself", {}, dimension=4)
    restored = restore_policy(policy.snapshot(), kind="my_policies:NamesItself")
    contexts = example_contexts(5, decisions=3, candidates=6, dimension=3)
    with pytest.raises(ContextError, match=r"^my_policies:NamesItself: decide: "):
        restored.decide(contexts, slots=2, keys=example_keys(3))


def test_results_of_another_type_are_refused() -> None:
    policy = build_policy("my_policies:GivesNone", {}, dimension=4)
    contexts = example_contexts(5, decisions=3, candidates=6, dimension=4)
    with pytest.raises(ConfigError, match="GivesNone: decide: must give a SlateBatch, got NoneTy"):
        policy.decide(contexts, slots=2, keys=example_keys(3))
    with pytest.raises(ConfigError, match="propensities: propensities must be an array, got None"):
        policy.propensities(contexts, np.zeros((3, 2), dtype=np.int32))
    with pytest.raises(ConfigError, match="GivesNone: snapshot: must give a Snapshot, got dict"):
        policy.snapshot()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, i, law: set_place(law, np.nan), r"propensities must be in \(0, 1\].*decision 1"),
        (lambda p, i, law: set_place(law, 0.0), r"propensities must be in \(0, 1\].*decision 1"),
        (lambda p, i, law: set_place(law, 1.5), r"propensities must be in \(0, 1\].*decision 1"),
        (lambda p, i, law: set_padding(law, 0.5), "and 1 at padding, got .* for decision 0"),
        (lambda p, i, law: set_place(p, 99), r"positions must be those of candidates.* 99"),
        (lambda p, i, law: set_place(p, -2), r"positions must be those of candidates.* -2"),
        (lambda p, i, law: set_padding(p, 0), "positions must be those of candidates, then -1"),
        (lambda p, i, law: set_place(p, p[1, 0]), "positions must be distinct, got .* decision 1"),
        (lambda p, i, law: set_place(i, i[1, 0]), "items must be those at the positions"),
        (
            lambda p, i, law: (p, i, law[:, 0]),
            r"propensities must be float64 \(5, 6\), got .*\(5,\)",
        ),
        (
            lambda p, i, law: (p[:, :2], i, law),
            r"positions must be int32 \(5, 6\), got int32 \(5, 2\)",
        ),
        (lambda p, i, law: (p, i.astype(float), law), r"items must be int32 .* got float64"),
        (lambda p, i, law: (p.tolist(), i, law), "positions must be an array, got list"),
    ],
)
def test_slates_that_break_a_rule_are_refused(change: Any, message: str) -> None:
    policy: Any = build_policy("my_policies:Alters", {"epsilon": 0.5}, dimension=4)
    contexts = example_contexts(5, decisions=5, candidates=8, dimension=4)
    contexts.candidates[0, 4:] = -1
    policy.decide(contexts, slots=6, keys=example_keys(5))
    policy.change = change
    with pytest.raises(ConfigError, match=f"^my_policies:Alters: decide: .*{message}"):
        policy.decide(contexts, slots=6, keys=example_keys(5))
