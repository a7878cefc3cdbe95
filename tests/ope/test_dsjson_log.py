"""Logs of actions from and to dsjson: read back as they were, read by Vowpal Wabbit too."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vowpalwabbit

from matinee_platform.ope.inputs.action_log import ActionBatch, ActionLog
from matinee_platform.ope.inputs.dsjson import dsjson_log, is_dsjson
from matinee_platform.ope.inputs.dsjson_lines import action_lines, write_dsjson
from matinee_platform.ope.inputs.open_actions import open_actions
from matinee_platform.ope.inputs.target_law import logged_stream
from matinee_policies.errors import ContextError, DataError

N, K = 300, 6
ITEMS = ("plain", 'quoted "one"', "comma, one", "7", "Ω", "never")


def made_up_log(slots: int, *, offered: bool = True) -> ActionLog:
    """Pages of distinct items with features; the middle slot is sometimes empty."""
    rng = np.random.default_rng(slots)
    actions = np.argsort(rng.random((N, K - 1)), axis=1)[:, :slots].astype(np.int64)
    logged = rng.uniform(0.01, 1.0, (N, slots))
    rewards = np.where(rng.random((N, slots)) < 0.3, rng.normal(size=(N, slots)), 0.0)
    if slots > 1:
        actions[::9, 1], logged[::9, 1], rewards[::9, 1] = -1, 1.0, 0.0
    candidates = rng.permuted(np.tile(np.arange(K, dtype=np.int64), (N, 1)), axis=1)
    batch = ActionBatch(
        first=0,
        unit=rng.integers(0, 2**64, N, dtype=np.uint64),
        time=1_700_000_000_123 + np.arange(N) // 3,
        actions=actions,
        rewards=rewards,
        logged=logged,
        positions=np.tile(np.arange(slots), (N, 1)) if slots > 1 else rng.integers(0, 3, (N, 1)),
        context=rng.normal(size=(N, 2)).astype(np.float32).astype(np.float64),
        offered=candidates if offered else None,
        features=rng.normal(size=(N, K, 2)).astype(np.float32) if offered else None,
    )
    return ActionLog(
        stream=lambda: iter([batch.rows(0, 200), batch.rows(200, N)]),
        rows=N,
        items=ITEMS,
        positions=max(slots, 3),
        slots=slots,
        contexts=("age", "country=AT"),
        features=("genre", "length") if offered else (),
        distinct=slots > 1,
        has_units=True,
        has_times=True,
        rewards=(float(rewards.min()), float(rewards.max())),
    )


def arrays_of(log: ActionLog) -> dict[str, np.ndarray[Any, Any]]:
    parts = [batch.arrays() for batch in log.stream()]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("offered", [True, False])
def test_there_and_back(tmp_path: Path, slots: int, offered: bool) -> None:
    log = made_up_log(slots, offered=offered)
    path = tmp_path / "log.json"
    assert write_dsjson(path, log) == N
    assert is_dsjson(path)
    again = dsjson_log(path)
    assert again.items == tuple(sorted(ITEMS))
    names = ("positions", "slots", "contexts", "features", "distinct", "rewards", "rows")
    for name in (*names, "has_units", "has_times", "propensities"):
        assert getattr(again, name) == getattr(log, name), name
    left, right = arrays_of(again), arrays_of(log)
    place = np.array([again.items.index(name) for name in ITEMS] + [-1])
    if not offered:
        right["offered"] = np.tile(np.arange(K), (N, 1))
    for name, values in right.items():
        wanted = place[values] if name in ("actions", "offered") else values
        assert left[name].tobytes() == wanted.tobytes(), name
    # Written again it is the same file, but for the order in which features of names stand.
    write_dsjson(tmp_path / "again.json", again)
    first, second = (p.read_text().splitlines() for p in (path, tmp_path / "again.json"))
    assert [json.loads(line) for line in first] == [json.loads(line) for line in second]


def test_vowpal_wabbit_learns_from_both_forms(tmp_path: Path) -> None:
    for slots, options in ((1, "--cb_explore_adf"), (3, "--ccb_explore_adf")):
        path = tmp_path / f"{slots}.json"
        write_dsjson(path, made_up_log(slots))
        workspace = vowpalwabbit.Workspace(
            arg_list=["--quiet", "--dsjson", *options.split(), "--data", str(path)]
        )
        assert workspace.get_weighted_examples() == N
        assert np.isfinite(workspace.get_sum_loss())
        workspace.finish()


def event(**changes: Any) -> dict[str, Any]:
    """An event as other services write it: a whole law, words as features, no names."""
    made = {
        "_label_cost": -1.0,
        "_label_probability": 0.8,
        "_label_Action": 2,
        "_labelIndex": 1,
        "Timestamp": "2024-05-01T10:00:00.1234567Z",
        "EventId": "e",
        "a": [2, 1, 3],
        "p": [0.8, 0.2, 0.0],
        "c": {
            "User": {"country": "at"},
            "_multi": [{"T": {"topic": "war"}}, {"T": {"topic": "art"}}, {"T": {"topic": "tea"}}],
        },
    }
    return made | changes


def written(path: Path, *events: dict[str, Any]) -> Path:
    path.write_text("".join(f"{json.dumps(one)}\n" for one in events))
    return path


def test_events_of_others(tmp_path: Path) -> None:
    fewer = event(
        a=[1, 2],
        p=[0.5, 0.5],
        _label_Action=1,
        _labelIndex=0,
        _label_probability=0.5,
        c={"_multi": [{}, {}]},
    )
    log = dsjson_log(written(tmp_path / "log.dsjson", event(), fewer))
    assert log.items == ("1", "2", "3")
    assert log.contexts == ("User.country=at",)
    assert log.features == ("T.topic=art", "T.topic=tea", "T.topic=war")
    assert not log.has_units
    (batch,) = log.stream()
    assert batch.actions.tolist() == [[1], [0]]
    assert batch.rewards.tolist() == [[1.0], [1.0]]
    assert batch.logged.tolist() == [[0.8], [0.5]]
    assert batch.time.tolist() == [1_714_557_600_123] * 2
    assert batch.context is not None
    assert batch.context.tolist() == [[1.0], [0.0]]
    # Of the first event's actions the third had no chance; the second event has but two.
    assert batch.offered is not None
    assert batch.offered.tolist() == [[0, 1, -1], [0, 1, -1]]

    def likes_tea(batch: ActionBatch) -> np.ndarray[Any, Any]:
        assert batch.features is not None
        tea = batch.features[:, :, 1] + 1e-9 * (np.arange(3) == 0)
        return np.asarray(tea / tea.sum(axis=1, keepdims=True))[:, None, :]

    (part,) = logged_stream(log, likes_tea)()
    np.testing.assert_allclose(part.unreachable[:, 0], [1.0, 0.0], atol=1e-8)


def test_probabilities_in_six_digits_are_those_of_the_law(tmp_path: Path) -> None:
    # In single precision on one side and in seven digits on the other, as services of VW write.
    rounded = event(p=[0.800003, 0.2, 0.0], _label_probability=0.8)
    (batch,) = dsjson_log(written(tmp_path / "log.json", event(), rounded)).stream()
    assert batch.logged.tolist() == [[0.8], [0.8]]
    sixth = {"_label_cost": 0, "_a": [0, 1, 2, 3, 4, 5], "_p": [0.166667] * 6}
    page = {"EventId": "p", "c": {"_multi": [{}] * 6, "_slots": [{}]}, "_outcomes": [sixth]}
    assert dsjson_log(written(tmp_path / "ccb.json", page)).rows == 1


def test_a_bad_first_event_is_named_and_not_the_form(tmp_path: Path) -> None:
    slates = event(c={"_multi": [{"_slot_id": 0}]})
    (tmp_path / "logs").mkdir()
    for path in (tmp_path / "log.json", tmp_path / "logs" / "part-0.json"):
        written(path, slates)
    for path in (tmp_path / "log.json", tmp_path / "logs"):
        with pytest.raises(DataError, match=r"line 1: .*_slot_id are of slates"):
            open_actions(path)


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    lines = list(action_lines(made_up_log(3)))
    for k, start in enumerate(range(0, N, 120)):
        (tmp_path / f"part-{k:05d}.json").write_text("\n".join(lines[start : start + 120]))
    (tmp_path / "notes.txt").write_text("no events")
    assert dsjson_log(tmp_path).rows == N
    assert [batch.first for batch in dsjson_log(tmp_path).stream()] == [0]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (event(_label_probability=2), r"line 2: .*probabilities must be in \(0, 1\], got 2.0"),
        (event(Timestamp="2024-04-01T10:00:00Z"), "line 2: Timestamp must not fall"),
        (event(Timestamp="noon"), "line 2: must hold an event"),
        ([1, 2], "line 2: .*an event must be an object"),
        ({k: v for k, v in event().items() if k != "Timestamp"}, "line 2: .* have a Timestamp, or"),
        (event(c={"_unit": 3, "_multi": [{}, {}, {}]}), "line 2: .* have a unit, or none"),
        (event(c={"_unit": -3, "_multi": [{}, {}, {}]}), "_unit must be a whole number"),
        (event(c={"_multi": [{"_item": k} for k in (1, 2, 3)]}), "line 2: .* items of one kind"),
        (event(c={"_multi": [{"_id": "x"}] * 3}), "_id must be a text of its own"),
        (event(p=[0.0, 0.5, 0.5]), "line 2: .*what p says of action 2, .*, got 0.8 and 0.0"),
        (event(p=[0.79999, 0.2, 0.00001]), r"line 2: .*\(1e-05 of it\), got 0.8 and 0.79999"),
        (event(a=[2], p=[0.4]), "line 2: .*must be what p says of action 2, .*, got 0.8 and 0.4"),
        (event(p=[0.8, 0.8, 0.8]), r"line 2: .*p of all actions must sum to 1, got 2\.4"),
        (event(a=[1, 0, 2]), r"line 2: .*a must number actions from 1 to 3, got \[1, 0, 2\]"),
        (event(c={"_multi": [{"_slot_id": 0}] * 3}), "line 2: .*_slot_id are of slates"),
        (event(a=[1, 1, 2]), "a and p must be of one length, of distinct actions"),
        (event(c={"_position": 0, "_multi": [{}, {}, {}]}), "_position must be within 1 and"),
    ],
)
def test_bad_events_are_named_before_there_is_a_log(
    tmp_path: Path, second: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        dsjson_log(written(tmp_path / "log.json", event(), second))


def test_what_is_no_dsjson_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text("\n")
    with pytest.raises(DataError, match="at least one event"):
        dsjson_log(tmp_path / "empty.json")
    with pytest.raises(DataError, match=r"name must end in one of \.json"):
        dsjson_log(tmp_path / "log.csv")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="folder must hold files"):
        dsjson_log(tmp_path / "folder")
    assert not is_dsjson(tmp_path / "folder")
    for words in ("", "[1]", "{", '{"name": "run"}', "\xff"):
        (tmp_path / "folder" / "settings.json").write_bytes(words.encode("latin-1"))
        assert not is_dsjson(tmp_path / "folder"), words


def changed(**changes: Callable[[ActionBatch], Any]) -> ActionLog:
    log = made_up_log(3)
    return replace(
        log,
        stream=lambda: (
            replace(batch, **{name: change(batch) for name, change in changes.items()})
            for batch in log.stream()
        ),
    )


def test_what_dsjson_cannot_say_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    for log, words in (
        (replace(made_up_log(1), propensities="uniform"), "estimates \\(uniform\\)"),
        (replace(made_up_log(1), contexts=("_age", "b")), "underscore, got '_age'"),
        (changed(rewards=lambda b: np.ones_like(b.rewards)), "row 1: an empty slot"),
        (changed(actions=lambda b: np.full_like(b.actions, -1)), "row 1: a page of dsjson must"),
        (changed(actions=lambda b: np.zeros_like(b.actions)), "row 1: .* an item twice"),
    ):
        with pytest.raises(ContextError, match=words):
            write_dsjson(path, log)
        assert not path.exists()
