"""Exports of logs of actions read back as they were, to the last bit; OBP's form as OBP has it."""

from collections.abc import Callable
from dataclasses import fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from matinee_platform.ope.inputs.action_log import ActionBatch, ActionLog
from matinee_platform.ope.inputs.obp_arrays import action_dist_law, obp_log
from matinee_platform.ope.inputs.obp_export import obp_feedback, write_obp
from matinee_platform.ope.inputs.parquet_export import is_exported, parquet_log, write_parquet
from matinee_platform.ope.inputs.target_law import logged_stream
from matinee_policies.errors import ConfigError, ContextError, DataError

N, K = 500, 6


def made_up_log(slots: int, seed: int = 0, *, offered: bool = False) -> ActionLog:
    """Distinct items on each page; with several slots the last is sometimes empty."""
    rng = np.random.default_rng(seed)
    actions = np.argsort(rng.random((N, K - 1)), axis=1)[:, :slots].astype(np.int64)
    logged = rng.uniform(0.01, 1.0, (N, slots))
    if slots > 1:
        actions[::9, -1], logged[::9, -1] = -1, 1.0
    candidates = np.tile(np.arange(K, dtype=np.int64), (N, 1))
    candidates[::4, K - 1] = -1
    batch = ActionBatch(
        first=0,
        unit=rng.integers(0, 2**64, N, dtype=np.uint64),
        time=1_700_000_000_123 + np.arange(N) // 3,
        actions=actions,
        rewards=rng.normal(size=(N, slots)) * (rng.random((N, slots)) < 0.3),
        logged=logged,
        positions=np.tile(np.arange(slots), (N, 1)) if slots > 1 else rng.integers(0, 3, (N, 1)),
        context=rng.normal(size=(N, 2)),
        offered=candidates if offered else None,
    )
    return ActionLog(
        stream=lambda: iter([batch.rows(0, 300), batch.rows(300, N)]),
        rows=N,
        items=("plain", 'quoted "one"', "comma, one", "7", "Ω", "never"),
        positions=4 if slots == 1 else slots,
        slots=slots,
        contexts=("age", "country=AT"),
        propensities="empirical",
        distinct=slots > 1,
        has_units=True,
        has_times=True,
        rewards=(float(batch.rewards.min()), float(batch.rewards.max())),
        notes=("made up",),
    )


def arrays_of(log: ActionLog) -> dict[str, np.ndarray[Any, Any]]:
    parts = [batch.arrays() for batch in log.stream()]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def assert_same(found: ActionLog, wanted: ActionLog) -> None:
    for one in fields(ActionLog)[1:]:
        assert getattr(found, one.name) == getattr(wanted, one.name), one.name
    left, right = arrays_of(found), arrays_of(wanted)
    assert left.keys() == right.keys()
    for name, values in right.items():
        assert left[name].dtype == values.dtype
        assert left[name].tobytes() == values.tobytes(), name


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("offered", [False, True])
def test_parquet_there_and_back(tmp_path: Path, slots: int, offered: bool) -> None:
    log = made_up_log(slots, offered=offered)
    path = tmp_path / "log.parquet"
    write_parquet(path, log)
    assert is_exported(path)
    assert_same(parquet_log(path), log)
    with pytest.raises(ConfigError, match="not be there yet"):
        write_parquet(path, log)


def test_parquet_keeps_a_target_and_leaves_out_what_a_log_lacks(tmp_path: Path) -> None:
    log = made_up_log(1)
    plain = replace(
        log,
        stream=lambda: (
            replace(
                batch,
                unit=np.arange(batch.first, batch.first + len(batch), dtype=np.uint64),
                time=np.arange(batch.first, batch.first + len(batch)),
                context=None,
                target=batch.logged / 2,
                unreachable=np.full_like(batch.logged, 0.25),
            )
            for batch in log.stream()
        ),
        contexts=(),
        has_units=False,
        has_times=False,
    )
    write_parquet(tmp_path / "log.parquet", plain)
    assert parquet.read_schema(tmp_path / "log.parquet").names == [
        "action",
        "reward",
        "propensity",
        "target",
        "unreachable",
        "position",
    ]
    assert_same(parquet_log(tmp_path / "log.parquet"), plain)


def test_other_parquet_files_are_no_exports(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    parquet.write_table(pa.table({"x": [1]}), path)
    assert not is_exported(path)
    with pytest.raises(DataError, match="must be an exported log of actions"):
        parquet_log(path)


@pytest.mark.parametrize("slots", [1, 3])
def test_obp_there_and_back(tmp_path: Path, slots: int) -> None:
    log = made_up_log(slots)
    assert_same(obp_log(obp_feedback(log)), log)
    write_obp(tmp_path / "log.npz", log)
    assert_same(obp_log(tmp_path / "log.npz"), log)


def test_the_form_is_that_of_obp() -> None:
    log = made_up_log(1)
    feedback, arrays = obp_feedback(log), arrays_of(log)
    assert (feedback["n_rounds"], feedback["n_actions"]) == (N, K)
    for name, values in {
        "action": arrays["actions"][:, 0],
        "position": arrays["positions"][:, 0],
        "reward": arrays["rewards"][:, 0],
        "pscore": arrays["logged"][:, 0],
        "context": arrays["context"],
    }.items():
        np.testing.assert_array_equal(feedback[name], values)


def test_slates_of_obp_have_the_probability_down_to_each_slot() -> None:
    log = made_up_log(3)
    feedback, arrays = obp_feedback(log), arrays_of(log)
    p = arrays["logged"]
    np.testing.assert_array_equal(feedback["slate_id"], np.repeat(np.arange(N), 3))
    np.testing.assert_allclose(feedback["pscore"][1::3], p.prod(axis=1), rtol=1e-12)
    np.testing.assert_allclose(feedback["pscore_cascade"][1::3], p[:, 0] * p[:, 1], rtol=1e-12)
    plain = {name: value for name, value in feedback.items() if name != "pscore_slot"}
    np.testing.assert_allclose(arrays_of(obp_log(plain))["logged"], p, rtol=1e-12)


def obp_values(feedback: dict[str, Any], action_dist: np.ndarray[Any, Any]) -> float:
    """IPS as obp writes it (`iw = action_dist[i, a_i, position_i] / pscore`)."""
    n = np.arange(feedback["n_rounds"])
    weights = action_dist[n, feedback["action"], feedback["position"]] / feedback["pscore"]
    return float((feedback["reward"] * weights).mean())


def test_action_dist_weighs_as_obp_does() -> None:
    log = made_up_log(1)
    raw = np.random.default_rng(3).uniform(size=(N, K, 4))
    action_dist = raw / raw.sum(axis=1, keepdims=True)
    total = sum(
        float((part.target / part.logged * part.rewards).sum())
        for part in logged_stream(log, action_dist_law(action_dist, log))()
    )
    assert total / N == pytest.approx(obp_values(obp_feedback(log), action_dist), rel=1e-12)
    with pytest.raises(ContextError, match="action_dist must have 4 positions, got 3"):
        action_dist_law(action_dist[:, :, :3], log)
    with pytest.raises(ContextError, match=r"action_dist must be \[500, 6, positions\]"):
        action_dist_law(action_dist[1:], log)


def test_a_whole_logging_law_tells_what_could_be_shown() -> None:
    feedback = {
        "n_rounds": 2,
        "n_actions": 3,
        "action": np.array([0, 2]),
        "position": None,
        "reward": np.array([1, 0]),
        "pscore": np.array([0.5, 1.0]),
        "pi_b": np.array([[[0.5], [0.5], [0.0]], [[0.0], [0.0], [1.0]]]),
    }
    log = obp_log(feedback)
    third = np.full((2, 3, 1), 1 / 3)
    (batch,) = logged_stream(log, action_dist_law(third, log))()
    np.testing.assert_allclose(batch.unreachable[:, 0], [1 / 3, 2 / 3])
    with pytest.raises(ContextError, match=r"pscore, row 2: must be that of pi_b, got 0\.9"):
        obp_log(feedback | {"pscore": np.array([0.5, 0.9])})


BAD: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "pscore": (lambda f: f["pscore"].__setitem__(7, 0.0), r"pscore, row 8: must be in \(0, 1\]"),
    "reward": (lambda f: f["reward"].__setitem__(7, np.nan), "reward, row 8: must be finite"),
    "action": (lambda f: f["action"].__setitem__(7, 6), "action, row 8: must be within 0 and 5"),
    "position": (lambda f: f["position"].__setitem__(7, -1), "position, row 8: must be at least 0"),
    "time": (lambda f: f["time"].__setitem__(7, 0), "time must not fall, it does at row 8"),
    "rounds": (lambda f: f.update(n_rounds=3), "n_rounds must be the number of rows, 500, got 3"),
    "actions": (lambda f: f.update(n_actions=0), "n_actions must be a whole number above 0"),
    "context": (lambda f: f.update(context=f["context"][1:]), r"context must be \[500, d\]"),
    "words": (lambda f: f.update(reward=f["items"]), "reward must be numbers"),
    "missing": (lambda f: f.pop("reward"), "bandit feedback must have 'reward'"),
    "far": (
        lambda f: f["position"].__setitem__(7, 10**9),
        "positions must be at most 1,000, got 1,000,000,001",
    ),
    "wide": (lambda f: f.update(positions=10**9), "positions must be at most 1,000"),
    "many": (lambda f: f.update(n_actions=10**9), "items times positions must be at most 67,108,"),
    "high": (
        lambda f: (f.pop("n_actions"), f["action"].__setitem__(7, 10**12)),
        "items times positions must be at most 67,108,864, got 1,000,000,000,001",
    ),
    "flag": (lambda f: f.update(distinct=np.array([True, False])), "distinct must be one truth"),
    "list": (lambda f: f.update(items=7), "items must be a list"),
    "names": (lambda f: f.update(items=["x"] * 6), "items must be 6 distinct names, got 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_array_is_named(case: str) -> None:
    change, words = BAD[case]
    feedback = {
        name: value.copy() if isinstance(value, np.ndarray) else value
        for name, value in obp_feedback(made_up_log(1)).items()
    }
    change(feedback)
    with pytest.raises(ContextError, match=words):
        obp_log(feedback)


def test_slates_out_of_order_are_refused() -> None:
    feedback = obp_feedback(made_up_log(3))
    with pytest.raises(ContextError, match="slate_id must list 500 slates of one length"):
        obp_log(feedback | {"slate_id": np.roll(feedback["slate_id"], 1)})
    with pytest.raises(ContextError, match="position must count 0 to 2 on each of 500 slates"):
        obp_log(feedback | {"position": feedback["position"][::-1]})
    with pytest.raises(ConfigError, match="a log of slates needs pscore_cascade"):
        obp_log({k: v for k, v in feedback.items() if k not in ("pscore_cascade", "pscore_slot")})


def test_slates_that_show_an_item_twice_are_not_distinct() -> None:
    feedback = obp_feedback(made_up_log(3)) | {"distinct": False}
    feedback["action"][4] = feedback["action"][3]
    assert not obp_log(feedback).distinct
    with pytest.raises(ContextError, match="an item of a slate, row 2: must not show it twice"):
        obp_log(feedback | {"distinct": True})


def test_probabilities_of_obp_logs_are_estimated_only_when_told() -> None:
    feedback = obp_feedback(replace(made_up_log(1), propensities="logged"))
    with pytest.raises(ConfigError, match="the log has propensities"):
        obp_log(feedback, propensities="uniform")
    feedback["pscore"] = None
    with pytest.raises(ConfigError, match="name an estimator"):
        obp_log(feedback)
    log = obp_log(feedback, propensities="uniform")
    assert set(arrays_of(log)["logged"][:, 0]) == {1 / K}
    assert "estimated (uniform)" in log.flags[0]


def test_pickles_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.npz"
    np.savez(path, action=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="without pickle"):
        obp_log(path)


def as_objects(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return values.astype(object)


def test_arrays_of_objects_are_read_as_what_they_hold() -> None:
    feedback = obp_feedback(made_up_log(1))
    objects = {name: as_objects(feedback[name]) for name in ("unit", "position", "context")}
    assert_same(obp_log(feedback | objects), made_up_log(1))


@pytest.mark.parametrize("value", [None, np.array(None, dtype=object)])
def test_none_means_that_there_is_no_such_array(value: object) -> None:
    log = obp_log(obp_feedback(made_up_log(1)) | {"unit": value})
    assert not log.has_units


def test_an_object_that_is_neither_number_nor_text_is_named() -> None:
    feedback = obp_feedback(made_up_log(1))
    for name, value, words in (
        ("unit", as_objects(np.full(N, np.nan)), "unit must be 500 whole numbers of at least 0"),
        ("position", np.full(N, None), "position must be numbers alone .* got None at place 1"),
        ("context", as_objects(np.full((N, 2), "x")), "context must be numbers, got <U1"),
        ("unit", np.array(["x", *range(N - 1)], dtype=object), "unit .* got 0 at place 2"),
        ("unit", np.array([2**70] * N, dtype=object), "unit must be numbers of at most 64 bits"),
        ("context", [[1.0], [1.0, 2.0]], "context must be an array"),
    ):
        with pytest.raises(ContextError, match=words):
            obp_log(feedback | {name: value})


def test_units_are_whole_numbers_or_texts() -> None:
    feedback = obp_feedback(made_up_log(1))
    texts = np.array([f"u{row % 10}" for row in range(N)])
    found = arrays_of(obp_log(feedback | {"unit": as_objects(texts)}))["unit"]
    wanted = [int.from_bytes(sha256(text.encode()).digest()[:8], "big") for text in texts]
    assert found.tolist() == wanted
    for units, words in (
        (np.linspace(0.5, 3.0, N), r"got float64 \[500\], first 0\.5"),
        (np.full(N, np.nan), "got float64 .* first nan"),
        (np.arange(N) - 10, "got -10 at row 1"),
        (np.arange(N - 1), r"got int64 \[499\]"),
    ):
        with pytest.raises(ContextError, match=f"unit must be 500 whole numbers .*{words}"):
            obp_log(feedback | {"unit": units})
