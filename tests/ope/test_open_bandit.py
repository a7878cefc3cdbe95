"""Open Bandit logs: a file of the published form, and the real small sample."""

import os
from pathlib import Path

import numpy as np
import pytest

from matinee_platform.ope.diagnostics import Diagnostics
from matinee_platform.ope.estimates import Estimate, estimates
from matinee_platform.ope.inputs.action_log import ActionLog
from matinee_platform.ope.inputs.open_bandit import is_open_bandit, open_bandit_log
from matinee_platform.ope.inputs.policy_table import policy_frequencies
from matinee_platform.ope.inputs.target_law import TargetLaw, logged_stream, table_law
from matinee_platform.ope.records import LoggedBatch
from matinee_platform.ope.refusal import judge
from matinee_platform.ope.slot_sums import EstimatorPlan, SlotSums
from matinee_policies.errors import ConfigError, DataError

HEADER = (
    ",timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1,"
    "user-item_affinity_0,user-item_affinity_1,user-item_affinity_2"
)
ROWS = (
    "0,2019-11-24 00:01:03.979311+00:00,2,3,0,0.25,aa,b,0.0,0.0,0.0",
    "1,2019-11-24 00:01:45.406608+00:00,0,1,1,0.5,ab,b,0.0,1.0,0.0",
)


def written(path: Path, *rows: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def test_a_row_is_an_item_at_one_position(tmp_path: Path) -> None:
    path = written(tmp_path / "random_men.csv", *ROWS)
    assert is_open_bandit(path)
    assert is_open_bandit(tmp_path)
    log = open_bandit_log(path)
    (batch,) = log.stream()
    assert (log.items, log.positions, log.slots) == (("0", "1", "2"), 3, 1)
    assert batch.actions.tolist() == [[2], [0]]
    assert batch.positions.tolist() == [[2], [0]]
    assert batch.rewards.tolist() == [[0.0], [1.0]]
    assert batch.logged.tolist() == [[0.25], [0.5]]
    assert batch.time.tolist() == [1_574_553_663_979, 1_574_553_705_406]
    assert batch.unit.tolist() == [0, 1]
    assert log.contexts == ("user_feature_0=aa", "user_feature_0=ab", "user_feature_1=b")
    assert batch.context is not None
    assert batch.context.tolist() == [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]


def test_a_log_of_a_folder_is_named_by_policy_and_campaign(tmp_path: Path) -> None:
    written(tmp_path / "random_men.csv", *ROWS)
    written(tmp_path / "bts" / "men" / "men.csv", ROWS[0])
    assert open_bandit_log(tmp_path, behaviour="random").rows == 2
    assert open_bandit_log(tmp_path, behaviour="bts", campaign="men").rows == 1
    with pytest.raises(ConfigError, match="there are random men, bts men, and 2 of them"):
        open_bandit_log(tmp_path)
    with pytest.raises(ConfigError, match="behaviour must be one of random, bts, got 'best'"):
        open_bandit_log(tmp_path, behaviour="best")
    assert not is_open_bandit(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (",3,0,0.25", ",4,0,0.25", "line 2: position must be a whole number from 1 to 3, got 4"),
        (",2,3,0", ",7,3,0", "line 2: item_id must be one of the 3 items, got '7'"),
        (",0.25,", ",0.0,", r"line 2: propensity_score must be a probability in \(0, 1\]"),
        (",3,0,0.25", ",3,,0.25", "line 2: click must be a number, got ''"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = written(tmp_path / "random_men.csv", ROWS[0].replace(old, new), ROWS[1])
    with pytest.raises(DataError, match=words):
        open_bandit_log(path)


def real_log(behaviour: str, campaign: str) -> ActionLog:
    folder = os.environ.get("MATINEE_DATA")
    if not folder:
        pytest.skip("MATINEE_DATA is not set")
    inside = Path(folder) / "open-bandit-small"
    if not inside.is_dir():
        pytest.skip("MATINEE_DATA holds no open-bandit-small")
    return open_bandit_log(inside, behaviour=behaviour, campaign=campaign)


def evaluated(log: ActionLog, law: TargetLaw) -> tuple[dict[str, Estimate], LoggedBatch]:
    sums = SlotSums(EstimatorPlan())
    (batch,) = logged_stream(log, law)()
    sums.add(batch)
    return {e.name: e for e in estimates(sums) if e.slot is None}, batch


@pytest.mark.real_data
@pytest.mark.parametrize("campaign", ["men", "women"])
def test_thompson_sampling_on_the_uniform_log_is_near_its_own_clicks(campaign: str) -> None:
    log, own = real_log("random", campaign), real_log("bts", campaign)
    found, batch = evaluated(log, table_law(policy_frequencies(own)))
    rewards = np.concatenate([part.rewards[:, 0] for part in own.stream()])
    truth, truth_error = rewards.mean(), rewards.std(ddof=1) / np.sqrt(rewards.size)
    for name in ("ips", "snips", "replay"):
        value, error = found[name].value, found[name].standard_error
        assert value is not None
        assert error is not None
        assert abs(value - truth) < 4 * np.hypot(error, truth_error)
    # On a uniform log, replay is the self-normalised value.
    assert found["replay"].value == pytest.approx(found["snips"].value, rel=1e-12)
    weights = batch.target[:, 0] / batch.logged[:, 0]
    diagnostics = Diagnostics.of(weights, batch.rewards[:, 0], unreachable=batch.unreachable[:, 0])
    assert not judge(diagnostics).is_refused


@pytest.mark.real_data
def test_a_uniform_policy_on_the_uniform_log_is_its_mean() -> None:
    log = real_log("random", "men")
    K = len(log.items)
    found, batch = evaluated(log, table_law(np.full((K, 3), 1 / K)))
    assert found["ips"].value == pytest.approx(46 / 10_000, rel=1e-12)
    assert batch.unreachable.max() == 0.0


@pytest.mark.real_data
def test_the_uniform_policy_on_the_log_of_thompson_sampling_is_refused() -> None:
    log = real_log("bts", "women")
    K = len(log.items)
    _, batch = evaluated(log, table_law(np.full((K, 3), 1 / K)))
    weights = batch.target[:, 0] / batch.logged[:, 0]
    verdict = judge(Diagnostics.of(weights, batch.rewards[:, 0], unreachable=0.0))
    assert verdict.is_refused
    assert "effective sample size" in {reason.rule for reason in verdict.refused}
