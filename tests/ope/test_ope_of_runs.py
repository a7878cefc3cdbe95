"""Policies valued on the logs of a run: against what the log itself says, and by brute force."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_platform.decision_log import read_parts
from matinee_platform.log_schema import column_values
from matinee_platform.offline.run import run_experiment
from matinee_platform.ope import evaluate
from matinee_platform.ope.inputs.components import COMPONENTS
from matinee_platform.ope.inputs.policy_log import (
    DecidedPart,
    LogCheck,
    PartsOf,
    PolicyLog,
    weighed,
)
from matinee_platform.ope.inputs.run_log import run_log
from matinee_platform.ope.inputs.target_policy import target_policy
from matinee_platform.settings import parse_settings
from matinee_policies.errors import ConfigError, DataError, MatineeError
from matinee_policies.policy import Policy
from matinee_policies.records import PAD
from matinee_policies.registry import build_policy

SLOTS = 3


@pytest.fixture(scope="session")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of arms that explore, one that does not, and one of other candidates."""
    run = tmp_path_factory.mktemp("runs") / "explored"
    arms = [
        {"name": "soft", "policy": {"kind": "softmax", "temperature": 0.3}},
        {"name": "softer", "policy": {"kind": "softmax", "temperature": 0.5}},
        {"name": "order", "policy": {"kind": "score_order"}},
        {"name": "learner", "policy": {"kind": "epsilon_greedy", "epsilon": 0.99}},
        {"name": "popular", "candidates": "popularity", "policy": {"kind": "uniform"}},
        {"name": "truth", "policy": {"kind": "click_oracle"}},
    ]
    settings = parse_settings(
        {
            "name": "explored",
            "users": 900,
            "world": {"arrival_days": 1},
            "days": 4,
            "slots": SLOTS,
            "candidates": 10,
            "control": "soft",
            "reward": {"return_visit": {"weight": 0.1, "window_days": 1}},
            "arms": arms,
        }
    )
    run_experiment(settings, run, workers=1)
    return run


def clicks(run: Path, arm: str, *, days: int) -> tuple[np.ndarray, int]:
    """Clicks of each decision in the order of the log, counted from its events."""
    ids = [t["decision_id"].to_numpy() for t in read_parts(run, "decisions", arm)]
    events = [column_values(t) for t in read_parts(run, "rewards", arm)]
    clicked = np.concatenate([e["decision_id"][e["component"] == 0] for e in events])
    known = np.concatenate(ids)
    return np.array([(clicked == one).sum() for one in known]), known.size


def test_the_policy_that_logged_is_worth_the_mean_of_its_rewards(explored: Path) -> None:
    found = evaluate(f"{explored}:soft", f"{explored}:soft", component="click")
    counted, decisions = clicks(explored, "soft", days=4)
    assert found.decisions == decisions
    assert found.rescored is not None
    assert found.rescored["unequal_slots"] == found.rescored["unmatched_decisions"] == 0
    for name in ("ips", "snips", "clipped", "standard", "rips", "sn_rips"):
        assert found.value(name).value == pytest.approx(counted.mean(), rel=1e-13)
    page = found.weighing("slot")
    assert all((one.mean, one.mean_error, one.largest) == (1.0, 0.0, 1.0) for one in page.slots)
    assert page.page.effective == decisions
    assert not found.verdict.words()
    assert found.current is not None
    assert found.current.value == pytest.approx(counted.mean(), rel=1e-13)
    assert found.value("ips").value == found.current.value
    assert abs(found.current.difference or 0.0) < 4 * (found.current.difference_error or 0.0)


def rewards_of(run: Path, component: str) -> np.ndarray:
    log = run_log(run, "soft", component=component)
    target = build_policy("uniform", {}, dimension=11)
    batches = weighed(log, target, model=None, check=LogCheck())
    return np.concatenate([batch.rewards for batch in batches])


def test_a_value_counts_what_learning_counts(explored: Path) -> None:
    """Return visits are part of the value, and of a component of their own."""
    found = {name: rewards_of(explored, name) for name in COMPONENTS}
    matured = len(found["value"])
    assert matured == len(found["return_visit"]) < len(found["click"])
    parts = found["engagement"][:matured] + 0.1 * found["return_visit"]
    np.testing.assert_allclose(found["value"], parts, rtol=1e-12, atol=1e-15)
    assert (found["engagement"] == found["watch"]).all()
    assert set(np.unique(found["click"])) == set(np.unique(found["return_visit"])) == {0.0, 1.0}
    assert ((found["watch"] > 0) <= (found["click"] > 0)).all()
    told = " ".join(run_log(explored, "soft").notes)
    assert "no claim on retention" in told
    assert "window had not closed" in told


def test_another_arm_is_worth_what_it_earned_itself(explored: Path) -> None:
    """Users of the arms are other people in other states: the errors of both are allowed for."""
    found = evaluate(f"{explored}:soft", f"{explored}:softer", component="watch")
    own = evaluate(f"{explored}:softer", f"{explored}:softer", component="watch")
    assert own.current is not None
    for name in ("dr", "snips", "rips", "sn_standard", "cascade_dr"):
        value = found.value(name)
        assert value.value is not None, value.refused
        error = np.hypot(value.standard_error or 0.0, own.current.standard_error or 0.0)
        assert abs(value.value - own.current.value) < 4 * error
        assert value.interval is not None
        assert value.value in value.interval
    assert found.current is not None
    apart = found.current.difference_interval
    assert apart is not None
    assert found.current.difference is not None
    assert found.current.difference in apart


def first_rows(log: PolicyLog, rows: int) -> PolicyLog:
    def parts(with_features: bool) -> Iterator[Sequence[DecidedPart]]:
        first = next(iter(log.parts(with_features)))[0]
        yield [first.rows(np.arange(rows))]

    return replace(log, parts=parts)


def test_laws_of_a_slot_against_every_continuation(explored: Path) -> None:
    """Reach, largest weight and expectation from `propensities` of all slates, at each slot."""
    log = first_rows(run_log(explored, "order"), 6)
    log = replace(log, parts=_told_by(log, build_policy("softmax", {"top": 4}, dimension=11)))
    target = build_policy("softmax", {"top": 6, "temperature": 0.4}, dimension=11)

    class Numbers:
        """A model that predicts the item's number."""

        kind = "numbers"

        def predict(
            self, unit: object, *, slots: object, items: object, features: object
        ) -> object:
            return np.asarray(items, dtype=np.float64) / 1e4

    check = LogCheck()
    (batch,) = weighed(log, target, model=Numbers(), check=check)  # type: ignore[arg-type]
    ((part,),) = log.parts(True)
    assert check.unequal == 0
    assert part.logger is not None
    K = part.contexts.candidates.shape[1]
    for row in range(6):
        one = part.contexts.rows(np.array([row]))
        for slot in range(SLOTS):
            prefix = part.positions[row, :slot].tolist()
            free = [k for k in range(K) if k not in prefix]
            slates = np.array(
                [[*prefix, k, *[o for o in free if o != k]][:SLOTS] for k in free], dtype=np.int32
            )
            copies = one.rows(np.zeros(len(free), dtype=np.int64))
            would = target.propensities(copies, slates)[:, slot]
            could = part.logger.propensities(copies, slates)[:, slot]
            assert batch.unreachable[row, slot] == pytest.approx(would[could == 0].sum(), abs=1e-12)
            assert batch.largest is not None
            reach = could > 0
            most = (would[reach] / could[reach]).max()
            assert batch.largest[row, slot] == pytest.approx(most, rel=1e-12)
            items = part.items[row, free] / 1e4
            assert batch.expected is not None
            assert batch.expected[row, slot] == pytest.approx((would * items).sum(), rel=1e-12)
    assert batch.unreachable.max() > 0.01


def _told_by(log: PolicyLog, logger: Policy) -> PartsOf:
    """The same decisions as if another policy had logged them."""

    def parts(with_features: bool) -> Iterator[Sequence[DecidedPart]]:
        for together in log.parts(with_features):
            told = []
            for part in together:
                keys = np.arange(len(part), dtype=np.uint64)
                slates = logger.decide(part.contexts, slots=SLOTS, keys=keys)
                told.append(
                    replace(
                        part,
                        positions=slates.positions,
                        logged=slates.propensities,
                        logger=logger,
                    )
                )
            yield told

    return parts


def test_a_log_that_never_explored_is_refused(explored: Path) -> None:
    found = evaluate(f"{explored}:order", f"{explored}:soft")
    told = found.to_json()
    assert told["value"] is None
    assert told["interval"] is None
    assert all(one["value"] is None and one["reasons"] for one in told["estimates"])
    assert {one["rule"] for one in told["refused"]} >= {"unlogged items", "mean weight"}
    assert told["current"]["value"] > 0
    json.dumps(told, allow_nan=False)


@pytest.mark.parametrize(("share", "refused"), [(0.0005, False), (0.05, True)])
def test_propensities_that_do_not_come_out_again(
    explored: Path, share: float, refused: bool
) -> None:
    log = run_log(explored, "soft", component="click")

    def parts(with_features: bool) -> Iterator[Sequence[DecidedPart]]:
        for together in log.parts(with_features):
            damaged = []
            for part in together:
                logged = part.logged.copy()
                logged[: int(np.ceil(share * len(part))), 0] *= 0.9
                damaged.append(replace(part, logged=logged))
            yield damaged

    found = evaluate(replace(log, parts=parts), {"kind": "softmax", "temperature": 0.4})
    assert found.rescored is not None
    assert found.rescored["unmatched_decisions"] == found.rescored["unequal_slots"] > 0
    assert found.rescored["largest_relative_gap"] == pytest.approx(1 / 0.9 - 1)
    rules = {reason.rule for reason in found.verdict.refused}
    assert ("missing propensities" in rules) == refused or share * found.decisions < 1


def test_a_log_without_rows_is_refused(explored: Path) -> None:
    log = replace(run_log(explored, "soft"), parts=lambda _: iter(()))
    found = evaluate(log, {"kind": "uniform"}, reward_model="none")
    assert found.headline.value is None
    assert found.headline.refused
    json.dumps(found.to_json(), allow_nan=False)


def test_a_log_whose_policy_learned_has_intervals_that_hold_at_any_time(explored: Path) -> None:
    found = evaluate(f"{explored}:learner", {"kind": "uniform"}, component="click")
    assert found.adaptive
    assert found.headline.interval is not None
    assert found.headline.estimator == "rips"
    assert found.current is not None
    assert found.current.difference_interval is not None
    methods = {found.headline.interval.method, found.current.difference_interval.method}
    assert methods == {"anytime"}
    value = found.value("ips")
    assert value.interval is not None
    assert value.interval.method == "anytime"
    for name in ("dr", "sndr", "cascade_dr", "sn_cascade_dr"):
        assert found.value(name).interval is None
        assert "its predictions know later rows" in found.value(name).no_interval
    assert found.value("dm").interval is None
    assert "not its bias" in found.value("dm").no_interval


def test_an_interval_that_leaves_a_bias_out_is_told_only_if_asked_for(explored: Path) -> None:
    asked: dict[str, Any] = {"component": "watch", "estimators": ("dm", "switch_dr", "dr")}
    found = evaluate(f"{explored}:soft", f"{explored}:softer", **asked)
    for name in ("dm", "switch_dr"):
        value = found.value(name)
        tamed = name == "dm" or (value.tuned is not None and value.tuned.chosen is not None)
        assert value.value is not None
        assert (value.interval is None) == tamed
        assert ("not its bias" in value.no_interval) == tamed
    assert found.value("dr").interval is not None
    noise = evaluate(f"{explored}:soft", f"{explored}:softer", intervals=("bootstrap",), **asked)
    assert noise.value("dm").interval is not None


@pytest.mark.parametrize(
    ("policy", "rule"),
    [
        ("RUN:popular", "takes its candidates from 'popularity'"),
        ("RUN:truth", "must not know the truth"),
        ("RUN:nobody", "must be one of soft, softer"),
        ("RUN:soft@99", "version of .* must be within 0 and"),
        ("nothing.yaml", "policy must be a YAML or JSON file"),
        ("FOLDER/experiment.yaml", "not an experiment"),
        ("FOLDER/kind.yaml", "policy must be one of uniform"),
        ("FOLDER/list.yaml", "must hold the settings of a policy by name"),
        ("FOLDER/caps.yaml", "has no setting 'cap'"),
        ("FOLDER/junk.npz", "snapshot|npz|zip"),
    ],
)
def test_policies_that_are_refused(explored: Path, tmp_path: Path, policy: str, rule: str) -> None:
    for name, text in (
        ("experiment.yaml", "{arms: [], kind: uniform}"),
        ("kind.yaml", "{kind: best}"),
        ("list.yaml", "[1, 2]"),
        ("caps.yaml", "{kind: uniform, cap: 3}"),
        ("junk.npz", "no archive"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    wanted = policy.replace("RUN", str(explored)).replace("FOLDER", str(tmp_path))
    with pytest.raises(MatineeError, match=rule):
        target_policy(wanted, run_log(explored, "soft"))


def test_policies_over_other_features_or_another_catalogue_are_refused(
    explored: Path, tmp_path: Path
) -> None:
    log = run_log(explored, "soft")
    with pytest.raises(ConfigError, match="must be of 11 features"):
        target_policy(build_policy("lin_ucb", {}, dimension=4), log)
    stranger = replace(log, catalogue="0" * 16)
    for wanted in (f"{explored}:soft", str(explored / "snapshots" / "soft" / "00000.npz")):
        with pytest.raises(MatineeError, match="must be over catalogue version 0000"):
            target_policy(wanted, stranger)
    given = replace(log, catalogue=None)
    with pytest.raises(ConfigError, match="callers of"):
        target_policy(f"{explored}:soft", given)


def test_snapshots_and_versions_are_targets(explored: Path) -> None:
    log = run_log(explored, "soft")
    folder = explored / "snapshots" / "learner"
    last = sorted(folder.glob("*.npz"))[-1]
    named = target_policy(f"{explored}:learner", log).policy
    for wanted in (str(last), f"{explored}:learner@{int(last.stem)}"):
        again = target_policy(wanted, log).policy
        assert again.snapshot().content_hash == named.snapshot().content_hash
    first = target_policy(f"{explored}:learner@0", log).policy
    assert first.snapshot().content_hash != named.snapshot().content_hash
    new = target_policy({"kind": "lin_ucb"}, log)
    assert "has learned nothing" in new.notes[0]


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"component": "d28"}, "retention cannot be told from a log of pages"),
        ({"component": "retention"}, "another policy would have led units to other states"),
        ({"reward_model": "forest"}, "reward model must be one of ridge"),
        ({"estimators": ["dr", "best"]}, "estimator must be one of ips"),
        ({"estimators": ["dr"], "reward_model": "none"}, "dr needs a reward model"),
        ({"estimators": ["mips"]}, "mips needs clusters of items, and none are given"),
        ({"intervals": ["gauss"]}, "interval must be one of default"),
        ({"confidence": 1.5}, "confidence"),
        ({"largest_weight": 0.5}, "largest weight"),
        ({"largest_weight": 1.0, "estimators": ["ips"]}, "must be within 0 and 1"),
    ],
)
def test_settings_that_are_refused(explored: Path, options: dict[str, object], rule: str) -> None:
    with pytest.raises(MatineeError, match=rule):
        evaluate(f"{explored}:soft", {"kind": "uniform"}, **options)  # type: ignore[arg-type]


def test_logs_that_are_refused(explored: Path, tmp_path: Path) -> None:
    for log, rule in (
        (str(tmp_path), "log must be a run, RUN:ARM or the data folder"),
        (f"{explored}:nobody", "must be one of soft"),
        (f"{explored}:truth", "must not know the truth"),
        (str(explored), "must be of one arm, .* name one"),
    ):
        with pytest.raises(ConfigError, match=rule):
            evaluate(log, {"kind": "uniform"})
    settings = json.loads((explored / "settings.json").read_text("utf-8"))
    settings["reward"]["return_visit"]["window_days"] = 28
    young = tmp_path / "young"
    young.mkdir()
    (young / "settings.json").write_text(json.dumps(settings), "utf-8")
    for name in ("model", "decisions", "rewards", "snapshots"):
        (young / name).symlink_to(explored / name)
    with pytest.raises(DataError, match="must hold a day whose window of 28 days"):
        run_log(young, "soft")


def invoke(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, list(words))
    error = found.exception
    said = "" if error is None or isinstance(error, SystemExit) else str(error)
    return found.exit_code, found.stdout + said


def test_the_command_ranks_policies_of_every_arm(explored: Path, tmp_path: Path) -> None:
    mild = tmp_path / "mild.yaml"
    mild.write_text("{kind: softmax, temperature: 0.4}", encoding="utf-8")
    words = ["ope", str(explored), "--arm", "soft", "--policy", str(mild)]
    words += ["--policy", f"{explored}:softer", "--component", "click"]
    code, told = invoke(*words, "--estimators", "snips,dr", "--json")
    assert code == 0, told
    (found,) = json.loads(told)
    assert [one["policy"] for one in found["policies"]] == [str(mild), f"{explored}:softer"]
    for one in found["policies"]:
        assert one["estimator"] == "snips"
        assert one["interval"]["low"] < one["value"] < one["interval"]["high"]
    assert found["ranking"]["method"] == "Bonferroni"
    assert {row["place"] for row in found["ranking"]["rows"]} == {1, 2}
    code, told = invoke(*words, "--interval", "bootstrap", "--slots")
    assert code == 0
    assert "max-t over shared resamples" in told
    assert "dr, slot 3" in told
    assert "propensities come out again" in told
    code, told = invoke("ope", str(explored), "--policy", str(mild), "--metric", "d28")
    assert code == 1
    assert "measured by an experiment" in told


def test_promote_says_which_step(explored: Path, tmp_path: Path) -> None:
    log, same = f"{explored}:soft", f"{explored}:soft"
    code, told = invoke("promote", log, "--policy", same, "--component", "click")
    assert code == 0, told
    assert "no experiment has told of any" in told
    code, told = invoke("promote", f"{explored}:order", "--policy", same)
    assert code == 1
    assert "Do not start it." in told
    assert "the log cannot tell its value" in told
    metrics = {
        "clicks": {"role": "guardrail", "effects": {"soft": {"guardrail": {"outcome": "harmed"}}}}
    }
    document = {
        "experiment": "explored",
        "source": {"kind": "run"},
        "verdict": {"forbids": [], "arms": {"soft": {}}},
        "arms": {"soft": {}, "order": {}},
        "metrics": metrics,
    }
    path = tmp_path / "analysis.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    words = ["promote", log, "--policy", same, "--component", "click", "--analysis", str(path)]
    code, told = invoke(*words, "--now", "0.05", "--json")
    assert code == 1, told
    (advice,) = json.loads(told)["advice"].values()
    assert (advice["action"], advice["next"]) == ("stop", 0.0)
    code, told = invoke(*words[:-1], str(tmp_path / "none.json"))
    assert code == 1
    code, told = invoke(*words, "--as", "nobody")
    assert code == 1
    assert "must be one of soft, got 'nobody'" in told
    for other, rule in (
        ({"experiment": "another"}, "must be of explored, the experiment of run log"),
        ({"source": {"kind": "service"}}, "got one of explored of a service"),
        ({"arms": {"order": {}}}, "must have the log's arm soft, got order"),
        ({"source": None}, "must hold what matinee analyze --json prints"),
    ):
        path.write_text(json.dumps({**document, **other}), encoding="utf-8")
        code, told = invoke(*words)
        assert code == 1
        assert rule in told


def test_promote_takes_no_bound_that_leaves_a_bias_out(explored: Path) -> None:
    same = f"{explored}:soft"
    words = ["promote", same, "--policy", same, "--component", "click", "--estimators", "dm"]
    code, told = invoke(*words, "--interval", "default", "--json")
    assert code == 1, told
    (advice,) = json.loads(told)["advice"].values()
    assert advice["allowed"] == 0
    assert "no interval: the log tells its noise alone, not its bias" in " ".join(advice["words"])


def test_bounds_on_a_log_that_learned_hold_at_any_time_unless_told_otherwise(
    explored: Path, tmp_path: Path
) -> None:
    even = tmp_path / "even.yaml"
    even.write_text("{kind: uniform}", encoding="utf-8")
    words = [f"{explored}:learner", "--policy", str(even), "--component", "click"]
    words += ["--estimators", "rips"]
    _, told = invoke("promote", *words, "--json")
    (policy,) = json.loads(told)["policies"]
    assert policy["interval"]["method"] == "anytime"
    assert policy["current"]["difference_interval"]["method"] == "anytime"
    assert not any(note.startswith("caution") for note in policy["notes"])
    fixed = [*words, "--interval", "cressie_read"]
    _, told = invoke("promote", *fixed, "--json")
    (policy,) = json.loads(told)["policies"]
    assert policy["interval"]["method"] == "Cressie-Read"
    (said,) = [note for note in policy["notes"] if note.startswith("caution")]
    assert said.endswith(
        "cressie_read intervals take its rows as if it had not: only anytime ones hold"
    )
    _, told = invoke("ope", *fixed)
    assert f"  {said}" in told
    _, told = invoke("promote", f"{explored}:soft", *words[1:], "--json")
    (policy,) = json.loads(told)["policies"]
    assert policy["interval"]["method"] == "Cressie-Read"


def test_a_policy_that_learned_from_the_log_is_told_as_such(explored: Path) -> None:
    own, other = f"{explored}:learner", f"{explored}:soft"
    last = max((explored / "snapshots" / "learner").glob("*.npz"))
    log = run_log(explored, "learner", component="click")
    for wanted, told in (
        (own, True),
        (f"{explored / '..' / 'explored'}:learner", True),
        (str(last), True),
        (f"{own}@0", False),
        (other, False),
    ):
        found = target_policy(wanted, log)
        assert found.in_sample == told, wanted
        assert any("in-sample, and optimistic" in note for note in found.notes) == told
    assert not target_policy(own, run_log(explored, "soft", component="click")).in_sample
    assert not target_policy(other, run_log(explored, "soft", component="click")).in_sample
    words = ["--policy", own, "--component", "click"]
    _, said = invoke("promote", own, *words, "--estimators", "rips", "--json")
    found_json = json.loads(said)
    assert found_json["policies"][0]["in_sample"]
    (overlap,) = [one for one in found_json["advice"][own]["limits"] if one["by"] == "overlap"]
    assert overlap["step"] <= 0.05
    _, said = invoke("ope", own, *words)
    assert "learned from the log that judges it" in said


def test_empty_slots_earn_nothing(explored: Path) -> None:
    log = first_rows(run_log(explored, "soft"), 4)

    def parts(with_features: bool) -> Iterator[Sequence[DecidedPart]]:
        ((part,),) = log.parts(with_features)
        contexts = replace(part.contexts, candidates=part.contexts.candidates.copy())
        contexts.candidates[:, 2:] = PAD
        positions = np.array([[0, 1, PAD]] * 4, dtype=np.int32)
        logger = build_policy("softmax", {}, dimension=11)
        yield [
            replace(
                part,
                contexts=contexts,
                positions=positions,
                logger=logger,
                logged=logger.propensities(contexts, positions),
                rewards=np.array([[1.0, 0.0, 0.0]] * 4),
            )
        ]

    target = build_policy("uniform", {}, dimension=11)
    (batch,) = weighed(replace(log, parts=parts), target, model=None, check=LogCheck())
    assert (batch.target[:, 2] == 1).all()
    assert (batch.logged[:, 2] == 1).all()
    assert (batch.unreachable == 0).all()
