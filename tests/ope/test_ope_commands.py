"""The commands ope and promote on the logs of a run."""

import json
from pathlib import Path

from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_platform.ope.inputs.run_log import run_log
from matinee_platform.ope.inputs.target_policy import target_policy


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
    for option in (["--adaptive"], ["--rewards", "0,1"]):
        code, told = invoke("ope", str(explored), "--policy", str(mild), *option)
        assert code == 1
        assert f"{option[0]} is not for logs of runs and services" in told
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
