"""The policy whose law is Vowpal Wabbit's own at every slot."""

import functools
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pylibvw
import pytest

from matinee_policies import (
    ConfigError,
    ContextBatch,
    ContextError,
    OutcomeBatch,
    Policy,
    Snapshot,
    SnapshotError,
    restore_policy,
)
from matinee_policies.arrays import Float32Array, FloatArray
from matinee_policies.testing import PolicyContract
from matinee_policies.testing_data import example_contexts, example_keys, example_outcomes
from matinee_policies.testing_laws import per_slot_epsilon
from matinee_policies.vw_per_slot import VowpalWabbitPerSlot
from matinee_policies.vw_per_slot_config import VowpalWabbitPerSlotConfig

ROWS_PER_SAVE = 64
ACTIONS = 5
FLOOR = 0.1


class Oracle:
    """A real `--cb_explore_adf` fed whole sets as text, saved and opened anew as a user would."""

    def __init__(self, *options: str, one_hot: bool = False) -> None:
        self._words = [
            *("--quiet", "--noconstant", "--preserve_performance_counters"),
            *("--cb_explore_adf", "--cb_type", "mtr", "--bit_precision", "10", *options),
        ]
        self._one_hot = one_hot
        self._vw: Any = pylibvw.vw([*self._words, "--random_seed", "1"])
        self.events = 0

    def line(self, x: Float32Array, slot: int) -> str:
        words = "|a" + "".join(f" {j}:{written(number)}" for j, number in enumerate(x.tolist()))
        return words + (f" |s {slot}:1" if self._one_hot and slot >= 0 else "")

    def learn(self, outcomes: OutcomeBatch, *, cover: bool, every: int, folder: Path) -> None:
        for n, slot in np.argwhere(outcomes.shown).tolist():
            later = [other for other in range(slot + 1, 3) if outcomes.shown[n, other]]
            # An item that could have been shown is described as it would have been at this slot.
            lines = [self.line(outcomes.features[n, other], slot) for other in later if cover]
            cost, chance = -float(outcomes.rewards[n, slot]), float(outcomes.propensities[n, slot])
            lines.append(
                f"0:{written(cost)}:{written(chance)} {self.line(outcomes.features[n, slot], slot)}"
            )
            lines += ["|"] * (ACTIONS - len(lines))
            examples = self._vw._parse("\n".join(lines))
            self._vw.learn_multi(examples)
            self._vw._finish_example_multi_ex(examples)
            self.events += 1
            if self.events % every == 0:
                self._reopen(folder / f"{self.events}.model")

    def _reopen(self, path: Path) -> None:
        self._vw.save(str(path))
        self._vw.finish()
        found = re.search(rb"--random_seed (\d+)", path.read_bytes())
        assert found
        seed = found.group(1).decode()
        self._vw = pylibvw.vw(
            [*self._words, "--random_seed", seed, "--initial_regressor", str(path)]
        )

    def law(self, X: Float32Array, slot: int) -> FloatArray:
        lines = [self.line(x, -1) for x in X]
        shared = [f"shared |s {slot}:1"] if self._one_hot else []
        examples = self._vw._parse("\n".join([*shared, *lines]))
        self._vw.predict_multi(examples)
        law: FloatArray = np.array(examples[0].get_action_scores(), dtype=np.float64)
        self._vw._finish_example_multi_ex(examples)
        law /= law.sum()
        return law


def written(number: float) -> str:
    """Nine digits, as Vowpal Wabbit reads another last bit from the same number written longer."""
    digits, exponent = f"{number:.8e}".split("e")
    return f"{digits}e{int(exponent)}" if number else "0"


OPTIONS: dict[str, list[str]] = {
    "epsilon": ["--epsilon", "0", "--first_only"],
    "squarecb": ["--squarecb", "--interactions", "as"],
    "softmax": ["--softmax", "--lambda", "10"],
    "bag": ["--bag", "5"],
    "cover": ["--cover", "5", "--epsilon", "0.05"],
    "rnd": ["--rnd", "5"],
    "regcb": ["--regcb", "--cb_min_cost", "-1", "--cb_max_cost", "0"],
    "regcbopt": ["--regcb", "--regcbopt", "--cb_min_cost", "-1", "--cb_max_cost", "0"],
}


@functools.cache
def trained_oracle(exploration: str, folder: Path, every: int = ROWS_PER_SAVE) -> Oracle:
    oracle = Oracle(*OPTIONS[exploration], one_hot=exploration == "squarecb")
    oracle.learn(
        example_outcomes(1, slates=150, dimension=4),
        cover=exploration == "cover",
        every=every,
        folder=folder,
    )
    return oracle


class PerSlotContract(PolicyContract):
    """Saves of the model fall among the rows that the suite learns; the oracle does the same."""

    exploration = ""
    more: ClassVar[dict[str, Any]] = {}
    draws = 500
    folder: ClassVar[Path]

    @pytest.fixture(scope="class", autouse=True)
    @staticmethod
    def _folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
        request.cls.folder = tmp_path_factory.mktemp("oracle")

    def make_policy(self) -> Policy:
        config = VowpalWabbitPerSlotConfig(
            exploration=self.exploration,
            **{
                "actions": ACTIONS,
                "bits": 10,
                "rows_per_save": ROWS_PER_SAVE,
                "floor": FLOOR,
                **self.more,
            },
        )
        return VowpalWabbitPerSlot(config, dimension=self.dimension)

    def brute_force_law(
        self, policy: Policy, contexts: ContextBatch, prefix: Sequence[int]
    ) -> list[float]:
        rest = [k for k in range(5) if k not in prefix]
        law = trained_oracle(self.exploration, self.folder).law(
            contexts.features[0, rest], len(prefix)
        )
        weight = per_slot_epsilon(0.3, slots=3) if self.exploration == "epsilon" else FLOOR
        mixed = np.zeros(5)
        mixed[rest] = (1.0 - weight) * law + weight / len(rest)
        return [float(p) for p in mixed]


class TestBag(PerSlotContract):
    exploration = "bag"


class TestCover(PerSlotContract):
    exploration = "cover"


class TestRnd(PerSlotContract):
    exploration = "rnd"


class TestRegCB(PerSlotContract):
    exploration = "regcb"


class TestSlotFeatures(PerSlotContract):
    exploration = "squarecb"
    more: ClassVar[dict[str, Any]] = {"slot_features": "one_hot", "interactions": ("as",)}


def policy_of(exploration: str, **more: Any) -> VowpalWabbitPerSlot:
    values = {"exploration": exploration, "actions": ACTIONS, "bits": 10, **more}
    return VowpalWabbitPerSlot(VowpalWabbitPerSlotConfig(**values), dimension=4)


@pytest.mark.parametrize("exploration", ["epsilon", "softmax", "bag", "cover", "rnd", "regcbopt"])
@pytest.mark.parametrize("learned", [False, True])
def test_the_first_slot_has_the_law_of_vowpal_wabbit(
    exploration: str, learned: bool, tmp_path: Path
) -> None:
    """Of one that was never saved, at floor 0, over sets of 1 to 30 candidates with ties."""
    policy = policy_of(exploration, epsilon=0.0)
    oracle = Oracle(*OPTIONS[exploration])
    if learned:
        policy.learn(example_outcomes(1, slates=150, dimension=4))
        oracle = trained_oracle(exploration, tmp_path, every=10_000)
    rng = np.random.default_rng(4)
    spread = 0.0
    for _ in range(25):
        X = rng.normal(size=(int(rng.integers(1, 30)), 4)).astype(np.float32)
        X[-1] = X[0]
        contexts = contexts_of(X)
        law = policy.next_law(contexts, np.zeros((1, 0), dtype=np.int32), slots=1)[0]
        np.testing.assert_allclose(law, oracle.law(X, 0), rtol=0, atol=1e-6)
        spread = max(spread, float(np.ptp(law)))
    assert not learned or spread > 0.05


def contexts_of(X: Float32Array) -> ContextBatch:
    count = len(X)
    return ContextBatch(
        candidates=np.arange(count, dtype=np.int32)[None],
        features=X[None],
        scores=np.full((1, count), 0.5, dtype=np.float32),
        embeddings=np.zeros((count, 2), dtype=np.float32),
    )


@pytest.mark.parametrize(
    ("exploration", "kept"), [("bag", False), ("rnd", False), ("cover", False), ("regcb", True)]
)
def test_what_vowpal_wabbit_keeps_when_it_is_saved(
    exploration: str, kept: bool, tmp_path: Path
) -> None:
    """Laws stay; bag, rnd and cover learn on otherwise, the others alike."""
    contexts = example_contexts(3, decisions=20, candidates=8, dimension=4)
    first, more = (example_outcomes(n, slates=60, dimension=4) for n in (1, 2))
    rows = int(first.shown.sum())
    saved, straight = policy_of(exploration, rows_per_save=rows), policy_of(exploration)
    laws = []
    for outcomes in (first, more):
        for policy in (saved, straight):
            policy.learn(outcomes)
        empty = np.zeros((20, 0), dtype=np.int32)
        laws.append([one.next_law(contexts, empty, slots=1) for one in (saved, straight)])
    np.testing.assert_array_equal(laws[0][0], laws[0][1])
    assert (np.abs(laws[1][0] - laws[1][1]).max() == 0.0) == kept


def test_slot_features_change_later_laws_only_where_they_interact() -> None:
    contexts = example_contexts(0, decisions=5, candidates=6, dimension=4)
    outcomes = example_outcomes(1, slates=100, dimension=4)
    # Slots like opposite features, so a law that knows its slot must turn around.
    sign = np.array([1.0, -1.0, 1.0])
    outcomes.rewards[:] = 0.5 + 0.5 * np.tanh(outcomes.features[:, :, 0] * sign)
    kinds: list[tuple[str, tuple[str, ...]]] = [
        ("none", ()),
        ("one_hot", ()),
        ("one_hot", ("as",)),
        ("number", ("as",)),
    ]
    orders = []
    for kind, interactions in kinds:
        policy = policy_of(
            "softmax", slot_features=kind, interactions=interactions, learning_rate=2.0
        )
        policy.learn(outcomes)
        first = policy.next_law(contexts, np.zeros((5, 0), dtype=np.int32), slots=3)
        # The second slot, after the candidate of least weight in the comparison.
        second = policy.next_law(contexts, np.full((5, 1), 5, dtype=np.int32), slots=3)
        pairs = [
            np.corrcoef(law[b, :5], contexts.features[b, :5, 0])[0, 1]
            for b in range(5)
            for law in (first, second)
        ]
        orders.append(np.array(pairs).reshape(5, 2).mean(axis=0))
    assert orders[2][0] > 0.5
    assert orders[2][1] < -0.5
    for told in orders[:2]:
        assert abs(told[0] - told[1]) < 0.2


def test_pins_and_eligibility_hold() -> None:
    contexts = example_contexts(0, decisions=12, candidates=7, dimension=4, padded=False)
    eligible = np.ones((12, 7), dtype=np.bool_)
    eligible[:, 2] = False
    pinned = np.full((12, 2), -1, dtype=np.int32)
    pinned[:, 1] = 4
    contexts = replace(contexts, eligible=eligible, pinned=pinned)
    policy = policy_of("bag", floor=0.2)
    policy.learn(example_outcomes(1, slates=50, dimension=4))
    slates = policy.decide(contexts, slots=6, keys=example_keys(12))
    assert (slates.positions[:, 1] == 4).all()
    assert not (slates.positions == 2).any()
    assert (slates.propensities[:, 1] == 1.0).all()
    np.testing.assert_array_equal(
        policy.propensities(contexts, slates.positions), slates.propensities
    )
    assert ((slates.propensities > 0.0) & (slates.propensities <= 1.0)).all()


def test_later_components_are_counted_and_not_learned() -> None:
    policy = policy_of("bag")
    later = example_outcomes(1, slates=50, dimension=4, first=False)
    policy.learn(later)
    assert (policy.rows, policy.ignored) == (0, int(later.shown.sum()))
    again = restore_policy(policy.snapshot())
    assert isinstance(again, VowpalWabbitPerSlot)
    assert (again.rows, again.ignored) == (0, policy.ignored)


@pytest.mark.parametrize("setting", [{"propensity_weighted": False}, {"least_propensity": 0.2}])
def test_propensities_weigh_as_configured(setting: dict[str, Any]) -> None:
    """Under either setting these rows are those of a uniform draw among the actions."""
    contexts = example_contexts(3, decisions=5, candidates=8, dimension=4)
    laws = []
    for propensity, more in ((1e-6, setting), (1.0 / ACTIONS, {})):
        outcomes = example_outcomes(1, slates=50, dimension=4)
        outcomes.propensities[:] = propensity
        policy = policy_of("softmax", **more)
        policy.learn(outcomes)
        laws.append(policy.next_law(contexts, np.zeros((5, 0), dtype=np.int32), slots=1))
    np.testing.assert_array_equal(laws[0], laws[1])


@pytest.mark.parametrize(
    ("field", "number", "message"),
    [
        ("features", np.nan, "features of shown slots must be finite and within 1e\\+06, got nan"),
        ("rewards", 1e7, "rewards of shown slots must be finite .* got 10000000"),
        ("propensities", 0.0, r"propensities of shown slots must be in \(0, 1\], got 0.0"),
    ],
)
def test_bad_outcomes_leave_the_state_unchanged(field: str, number: float, message: str) -> None:
    outcomes = example_outcomes(1, slates=10, dimension=4)
    getattr(outcomes, field)[tuple(np.argwhere(outcomes.shown)[-1])] = number
    policy = policy_of("bag")
    before = policy.snapshot().content_hash
    with pytest.raises(ContextError, match=message):
        policy.learn(outcomes)
    assert policy.snapshot().content_hash == before


def test_contexts_that_do_not_fit_are_refused() -> None:
    policy = policy_of("bag")
    contexts = example_contexts(0, decisions=3, candidates=5, dimension=3)
    with pytest.raises(ContextError, match="features must have dimension 4, got 3"):
        policy.decide(contexts, slots=2, keys=example_keys(3))
    with pytest.raises(ContextError, match="features must have dimension 4, got 3"):
        policy.learn(example_outcomes(1, slates=5, dimension=3))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"exploration": "first"}, "exploration must be one of epsilon, .*, got 'first'"),
        ({"diversity": 0.1}, "diversity must be 0 where Vowpal Wabbit gives the law.* got 0.1"),
        ({"diversity": {"kind": "dpp", "price": 0.2}}, "diversity must be 0 where"),
        ({"cover_epsilon": 0.0}, "cover_epsilon must be > 0, got 0.0"),
        ({"rnd_alpha": 0.0}, "rnd_alpha must be > 0, got 0.0"),
        ({"most_reward": 0.0}, "most_reward must be > 0, got 0.0"),
        ({"members": 0}, "members must be >= 1, got 0"),
        ({"actions": 1}, "actions must be >= 2, got 1"),
        ({"rows_per_save": 0}, "rows_per_save must be >= 1, got 0"),
        ({"seed": 2**31}, "seed must be below 2\\^31, got 2147483648"),
        ({"slot_features": "yes"}, "slot_features must be one of none, number, one_hot"),
        ({"interactions": ["as"]}, "interactions must be two or three letters of 'ac', got 'as'"),
        ({"interactions": ["ac"]}, "interactions of 'c' need context_features, got 'ac'"),
        ({"context_features": [4]}, "context_features must be below the dimension 4, got 4"),
        ({"propensity_weighted": 1}, "propensity_weighted must be true or false, got 1"),
    ],
)
def test_bad_settings_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VowpalWabbitPerSlot(VowpalWabbitPerSlotConfig.from_json(setting), dimension=4)


def test_a_floor_that_breaks_the_budget_is_refused_before_a_run() -> None:
    policy = policy_of("epsilon", epsilon=0.1, floor=0.5)
    with pytest.raises(ConfigError, match="floor must be <= "):
        policy.check_length(10)


def test_damaged_snapshots_are_refused() -> None:
    policy = policy_of("bag", rows_per_save=20)
    policy.learn(example_outcomes(1, slates=20, dimension=4))
    good = policy.snapshot()

    def changed(**arrays: Any) -> Snapshot:
        return Snapshot(
            kind=good.kind,
            version=good.version,
            arrays={**good.arrays, **arrays},
            manifest=good.manifest,
        )

    assert good.arrays["model"].size
    assert good.arrays["pending"].size
    for name in ("model", "pending"):
        array = good.arrays[name]
        flipped = array.copy()
        flipped[len(array) // 2] ^= 1
        for bad in (array[:-20], flipped, array[:0]):
            with pytest.raises(SnapshotError, match="is damaged: its digest does not match"):
                restore_policy(changed(**{name: bad}))
        with pytest.raises(SnapshotError, match=f"must hold {name} as uint8 bytes"):
            restore_policy(changed(**{name: np.zeros(3)}))
