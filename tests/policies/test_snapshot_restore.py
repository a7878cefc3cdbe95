"""A snapshot, loaded by a fresh process, is the policy to the last bit: now and from now on."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pylibvw
import pytest

from matinee_policies import POLICY_KINDS, Policy, Snapshot, build_policy, restore_policy
from matinee_policies.records import OutcomeBatch
from matinee_policies.testing_data import example_contexts, example_keys, example_outcomes

D = 5

FORMS: dict[str, list[dict[str, Any]]] = {
    "lin_ucb": [{"form": "disjoint"}, {"form": "hybrid", "item_features": [1, 3]}],
    "thompson": [{"form": "disjoint"}],
    "square_cb": [{"form": "hybrid"}],
    "linear_softmax": [{"form": "disjoint", "alpha": 0.3}],
    "logistic": [{"method": "newton"}, {"exploration": "thompson"}],
    "vowpal_wabbit": [
        {"exploration": "squarecb"},
        {"exploration": "softmax"},
        {"context_features": [0, 2], "interactions": ["ac", "aa"]},
    ],
    "mixture": [{"bases": [{"kind": "thompson"}, {"kind": "vowpal_wabbit"}]}],
}
"""More than the defaults, by kind."""


def configs() -> list[tuple[str, dict[str, Any]]]:
    return [(kind, config) for kind in POLICY_KINDS for config in ({}, *FORMS.get(kind, []))]


def future(policy: Policy) -> list[str]:
    """Digests of what a policy does next: decisions, propensities, states as it learns on."""
    contexts = example_contexts(5, decisions=40, candidates=9, dimension=D, padded=True)
    digests = [policy.snapshot().content_hash]
    for seed, first in ((7, True), (7, False), (8, True)):
        slates = policy.decide(contexts, slots=4, keys=example_keys(40))
        again = policy.propensities(contexts, slates.positions)
        law = (slates.base, slates.base_propensity)
        parts = (slates.positions, slates.items, slates.propensities, again, *law)
        text = b"".join(part.tobytes() for part in parts if part is not None)
        digests.append(hashlib.sha256(text).hexdigest())
        outcomes = example_outcomes(seed, slates=50, dimension=D, first=first)
        policy.learn(later(outcomes) if seed == 8 else outcomes)
        digests.append(policy.snapshot().content_hash)
    return digests


def later(outcomes: OutcomeBatch) -> OutcomeBatch:
    """The same some days on."""
    assert outcomes.days is not None
    outcomes.days[:] += 30
    return outcomes


def main(folder: Path) -> None:
    """In the fresh process: the future of every snapshot, a line each."""
    for path in sorted(folder.glob("*.npz")):
        print(path.stem, *future(restore_policy(Snapshot.load(path))))


def test_every_kind_goes_on_to_the_bit_in_a_fresh_process(tmp_path: Path) -> None:
    expected = {}
    for number, (kind, config) in enumerate(configs()):
        policy = build_policy(kind, config, dimension=D)
        for first in (True, False):
            policy.learn(example_outcomes(1, slates=60, dimension=D, first=first))
        name = f"{number:02d}-{kind}"
        policy.snapshot().save(tmp_path / f"{name}.npz")
        expected[name] = future(policy)
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert {name: digests for name, *digests in lines} == expected
    # Learners go through states that differ, or the comparison would say nothing.
    learners = [name for name in expected if build_policy(name[3:], {}, dimension=D).learns]
    assert len(learners) == len(expected) - 3
    # `new_items` counts what was shown, and a later component shows nothing.
    states = {name: 3 if name.endswith("new_items") else 4 for name in learners}
    assert {name: len(set(expected[name][::2])) for name in learners} == states


VOWPAL_WABBIT: list[dict[str, Any]] = [
    {"exploration": exploration, **more}
    for exploration in ("epsilon", "squarecb", "softmax")
    for more in ({}, {"context_features": [0, 2], "interactions": ["ac", "aa"]})
]


@pytest.mark.parametrize("config", VOWPAL_WABBIT)
def test_vowpal_wabbit_resumed_is_vowpal_wabbit_uninterrupted(
    config: dict[str, Any], tmp_path: Path
) -> None:
    """Model bytes and predictions: saved after every lesson, and never."""
    outcomes = example_outcomes(2, slates=90, dimension=D)
    contexts = example_contexts(4, decisions=20, candidates=9, dimension=D)
    whole = build_policy("vowpal_wabbit", config, dimension=D)
    whole.learn(outcomes)
    resumed: Policy = build_policy("vowpal_wabbit", config, dimension=D)
    for start in range(0, 90, 30):
        resumed.learn(outcomes.rows(np.arange(start, start + 30)))
        resumed.snapshot().save(tmp_path / "state.npz")
        resumed = restore_policy(Snapshot.load(tmp_path / "state.npz"))
    models = [policy.snapshot().arrays["model"].tobytes() for policy in (whole, resumed)]
    assert models[0] == models[1]
    slates = [
        policy.decide(contexts, slots=4, keys=example_keys(20)) for policy in (whole, resumed)
    ]
    assert slates[0].positions.tobytes() == slates[1].positions.tobytes()
    assert slates[0].propensities.tobytes() == slates[1].propensities.tobytes()


LESSONS = tuple(
    "".join(f"{-r} |a 0:{x} 1:{1 - x}\n" for r, x in np.random.default_rng(seed).random((50, 2)))
    for seed in range(2)
)


def taught(words: list[str], folder: Path, *, stop: bool) -> tuple[bytes, bytes, list[float]]:
    """Model bytes between two lessons and after them, and the weights; perhaps reloaded between."""

    def opened(*more: str) -> Any:
        return pylibvw.vw(["--quiet", "--noconstant", *words, *more])

    def saved(vw: Any) -> bytes:
        vw.save(str(folder / "model"))
        return (folder / "model").read_bytes()

    vw = opened()
    for number, lesson in enumerate(LESSONS):
        if number:
            between = saved(vw)
            if stop:
                vw.finish()
                vw = opened("--initial_regressor", str(folder / "model"))
                between = saved(vw)
        for example in vw._parse(lesson):
            vw.learn(example)
            vw._finish_example(example)
    places = [vw.hash_feature(str(f), vw.hash_space("a")) & (vw.num_weights() - 1) for f in (0, 1)]
    weights = [vw.get_weight(int(place), 0) for place in places]
    after = saved(vw)
    vw.finish()
    return between, after, weights


@pytest.mark.parametrize(
    ("options", "equal"),
    [
        (["--save_resume", "--preserve_performance_counters"], (True, True, True)),
        # `--save_resume` is the default of this version; the counters begin anew without theirs.
        (["--preserve_performance_counters"], (True, True, True)),
        ([], (False, False, True)),
        (["--predict_only_model"], (True, False, False)),
    ],
)
def test_what_of_a_vowpal_wabbit_model_survives_depends_on_its_options(
    options: list[str], equal: tuple[bool, bool, bool], tmp_path: Path
) -> None:
    """Bytes saved again, bytes after learning on, weights after learning on."""
    one, other = (taught(options, tmp_path, stop=stop) for stop in (False, True))
    assert tuple(a == b for a, b in zip(one, other, strict=True)) == equal


if __name__ == "__main__":
    main(Path(sys.argv[1]))
