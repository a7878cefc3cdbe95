"""Draws against propensities as a value tells them, for logs of policies and of others."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_platform.kpis.page_sums import pages_of
from matinee_platform.ope import evaluate
from matinee_platform.ope.action_evaluation import evaluate_actions
from matinee_platform.ope.comparison import AnyPolicy, advise_on
from matinee_platform.ope.evaluator import Method
from matinee_platform.ope.inputs.policy_log import DecidedPart, PolicyLog
from matinee_platform.ope.inputs.table import table_log
from matinee_platform.ope.interval import RewardRange
from matinee_platform.ope.refusal import WARN_CALIBRATION
from matinee_policies.registry import build_policy
from matinee_policies.testing_data import example_contexts

ROWS, PARTS, SLOTS = 4_000, 10, 3
QUICK: dict[str, Any] = {
    "estimators": ["ips"],
    "intervals": ["cressie_read"],
    "reward_model": "none",
}


def policy_log(temperature: float) -> PolicyLog:
    """A log that says `temperature` 0.3 of every draw, whatever the draws were made with."""
    logger = build_policy("softmax", {"temperature": 0.3}, dimension=2)
    drawer = build_policy("softmax", {"temperature": temperature}, dimension=2)

    def parts(with_features: bool) -> Iterator[Sequence[DecidedPart]]:
        for number in range(PARTS):
            contexts = example_contexts(number, decisions=ROWS, candidates=12, dimension=2)
            keys = np.arange(number * ROWS, (number + 1) * ROWS, dtype=np.uint64)
            positions = drawer.decide(contexts, slots=SLOTS, keys=keys).positions
            yield [
                DecidedPart(
                    place=np.arange(ROWS),
                    unit=keys,
                    time=np.arange(number * ROWS, (number + 1) * ROWS),
                    contexts=contexts,
                    positions=positions,
                    items=contexts.candidates,
                    logged=logger.propensities(contexts, positions),
                    rewards=(keys[:, None] % np.arange(2, 2 + SLOTS, dtype=np.uint64) == 0) * 1.0,
                    logger=logger,
                    version=number // 5,
                )
            ]

    return PolicyLog(
        name="made up",
        arm="soft",
        parts=parts,
        slots=SLOTS,
        dimension=2,
        decisions=ROWS * PARTS,
        rewards=RewardRange(),
    )


@pytest.mark.parametrize(("temperature", "caught"), [(0.3, False), (0.33, True), (0.27, True)])
def test_draws_of_a_temperature_off_by_a_tenth_are_told(temperature: float, caught: bool) -> None:
    """Every propensity comes out again from the snapshot: only the draws can tell."""
    log, target = policy_log(temperature), {"kind": "softmax", "temperature": 0.3}
    found = evaluate(log, target, **QUICK)
    assert found.rescored is not None
    assert found.rescored["unequal_slots"] == 0
    told = found.to_json()
    calibration = told["calibration"]
    assert calibration["method"] == "chi-square"
    assert [one["draws"] for one in calibration["versions"]] == [ROWS * PARTS // 2 * SLOTS] * 2
    assert (calibration["p_value"] < WARN_CALIBRATION) is caught
    assert [one["rule"] for one in told["warned"]] == ["calibration"] * caught
    assert found.headline.value is not None
    if caught:
        assert found.verdict.warned[0].words.startswith("propensities are not the law of the draws")
        # A ramp goes no further than a trial on such a log.
        how = Method(**QUICK)
        (advice,) = advise_on(log, [target], how, guardrails={}, now={}, budget=0.5).advice.values()
        assert advice.limits[0].step == pytest.approx(0.05)


def test_the_weight_of_an_even_choice_is_that_of_the_live_metric() -> None:
    found = evaluate(policy_log(0.3), {"kind": "uniform"}, **QUICK)
    assert found.calibration is not None
    slots, weights, squares = 0, 0.0, 0.0
    for (part,) in policy_log(0.3).parts(True):
        offered = part.contexts.candidates.astype("<i4")
        slates = np.take_along_axis(offered, part.positions, axis=1)
        rows = [
            (n, n, "soft", 0, 0, 0, 0, slates[n].tobytes(), part.logged[n].tobytes(),
             offered[n].tobytes(), 1)
            for n in range(len(part))
        ]  # fmt: skip
        sums = pages_of(rows, ["soft"], {}).sums
        slots += int(sums["drawn"].sum())
        weights += float(sums["weights"].sum())
        squares += float(sums["squared_weights"].sum())
    even = found.calibration.even
    assert even.slots == slots == ROWS * PARTS * SLOTS
    assert even.weights == pytest.approx(weights, rel=1e-12)
    assert even.squared_weights == pytest.approx(squares, rel=1e-12)
    assert even.mean == pytest.approx(1, abs=4 * even.error)


def table(law: np.ndarray, said: np.ndarray) -> pd.DataFrame:
    """A log of draws by one law that says another."""
    item = np.random.default_rng(5).choice(law.size, 20_000, p=law)
    return pd.DataFrame(
        {"item": item, "click": (item % 3 == 0) * 1.0, "p": said[item], "new": 0.1, "no": 0.0}
    )


EVEN = np.full(10, 0.1)
STEEP = np.arange(1.0, 11.0) / 55
COLUMNS = {"action": "item", "reward": "click", "propensity": "p"}


@pytest.mark.parametrize(
    ("law", "said", "method", "caught"),
    [
        (EVEN, EVEN, "chi-square", False),
        (STEEP**0.1 / (STEEP**0.1).sum(), EVEN, "chi-square", True),
        (STEEP, STEEP, "even weight", False),
        (STEEP**0.9 / (STEEP**0.9).sum(), STEEP, "even weight", True),
    ],
)
def test_logs_of_others(law: np.ndarray, said: np.ndarray, method: str, caught: bool) -> None:
    log = table_log(table(law, said), COLUMNS)
    found = evaluate_actions(log, "uniform", reward_model="none")
    assert found.calibration is not None
    assert found.calibration.method == method
    assert [one.rule for one in found.verdict.warned] == ["calibration"] * caught


def test_a_guess_of_uniform_propensities_is_held_against_the_draws() -> None:
    columns = {"action": "item", "reward": "click"}
    log = table_log(table(STEEP, STEEP), columns, propensities="uniform")
    found = evaluate_actions(log, "uniform", reward_model="none")
    assert [one.rule for one in found.verdict.warned] == ["calibration"]


def test_the_command_tells_the_draws(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    table(STEEP**0.9 / (STEEP**0.9).sum(), STEEP).to_csv(path, index=False)
    words = ["ope", str(path), "--policy", "uniform", "--reward-model", "none"]
    words += ["--column", "action=item", "--column", "reward=click", "--column", "propensity=p"]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.output
    assert "an even choice weighs 1.0" in said.output
    assert "caution: mean weight of an even choice is 1.0" in said.output
    (document,) = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    found = document["policies"][0]
    assert found["calibration"]["even_weights"]["mean"] > 1.01
    assert found["calibration"]["versions"] == []
    assert found["warned"][-1]["rule"] == "calibration"


def test_bounds_of_several_policies_have_draws_enough_for_their_level() -> None:
    assert [Method().enough(m).replicates for m in (1, 3, 5)] == [400, 1_200, 2_000]
    assert Method(confidence=0.99, replicates=100).enough(1).replicates == 2_000
    assert Method(replicates=4_000).enough(1).replicates == 4_000
    log = policy_log(0.3)
    targets: list[AnyPolicy] = [{"kind": "softmax", "temperature": 0.31}, {"kind": "uniform"}]

    def bounds(replicates: int) -> list[str]:
        how = Method(
            estimators=["ips"],
            intervals=["bootstrap"],
            reward_model="none",
            replicates=replicates,
        )
        told = advise_on(log, targets, how, guardrails={}, now={}, budget=0.01)
        return [one.limits[1].words for one in told.advice.values()]

    # Two policies share 5 %: 800 draws.
    assert bounds(400) == bounds(800) != bounds(1_200)
