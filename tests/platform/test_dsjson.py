"""dsjson: what we write is what we read and what Vowpal Wabbit itself reads and learns from."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vowpalwabbit

from matinee_platform.dsjson import UNIT_FEATURES, LoggedPages, cb_lines, ccb_lines
from matinee_platform.dsjson_read import DsjsonEvents, read_dsjson
from matinee_policies.errors import DataError
from matinee_policies.features import FEATURE_NAMES, SLOT_FEATURE, slot_feature
from matinee_policies.records import PAD
from matinee_policies.vw_action_sets import ActionSets

PAGES, K, SLOTS = 40, 7, 3
UNIT = [FEATURE_NAMES.index(name) for name in UNIT_FEATURES]
ITEM = [j for j in range(len(FEATURE_NAMES)) if j not in {*UNIT, SLOT_FEATURE}]


def made_up_pages(seed: int = 0) -> LoggedPages:
    """Pages of 3 slots over 5 or 7 candidates; some of the first have an empty last slot."""
    rng = np.random.default_rng(seed)
    candidates = rng.permuted(np.tile(np.arange(40), (PAGES, 1)), axis=1)[:, :K].astype(np.int32)
    candidates[::3, 5:] = PAD
    features = rng.normal(size=(PAGES, K, len(FEATURE_NAMES))).astype(np.float32)
    features[:, :, UNIT] = features[:, :1, UNIT]
    positions = rng.permuted(np.tile(np.arange(5), (PAGES, 1)), axis=1)[:, :SLOTS].astype(np.int32)
    positions[:4, 2] = PAD
    propensities = rng.uniform(0.05, 1.0, (PAGES, SLOTS))
    rewards = rng.random((PAGES, SLOTS)) * (rng.random((PAGES, SLOTS)) < 0.5)
    return LoggedPages(
        ids=rng.integers(0, 2**64, PAGES, dtype=np.uint64),
        units=rng.integers(0, 2**64, PAGES, dtype=np.uint64),
        decided_at=np.arange(PAGES, dtype=np.int64) * 1_001 + 1_700_000_000_000,
        snapshot=np.arange(PAGES, dtype=np.int32) // 10,
        candidates=candidates,
        features=features,
        positions=positions,
        propensities=propensities,
        rewards=rewards,
    )


def written(folder: Path, lines: Iterator[str]) -> Path:
    path = folder / "events.json"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def run_vowpal_wabbit(path: Path, *options: str) -> tuple[float, float]:
    """Sum of the loss and weight of the examples of Vowpal Wabbit's program over a file."""
    words = ["--quiet", "--dsjson", "--noconstant", "--data", str(path), *options]
    workspace = vowpalwabbit.Workspace(arg_list=words)
    found = workspace.get_sum_loss(), workspace.get_weighted_examples()
    workspace.finish()
    return found


def test_events_per_slot_are_read_as_they_were_written(tmp_path: Path) -> None:
    pages = made_up_pages()
    events = read_dsjson(written(tmp_path, cb_lines(pages)))
    shown = np.argwhere(pages.positions != PAD)
    assert len(events.ids) == len(shown) == PAGES * SLOTS - 4
    assert events.names == tuple(sorted(f"item.{FEATURE_NAMES[j]}" for j in ITEM))
    assert events.shared_names == ("slot.slot", "unit.activity", "unit.days_since_visit")
    order = [FEATURE_NAMES.index(name.removeprefix("item.")) for name in events.names]
    np.testing.assert_array_equal(events.units, pages.units[shown[:, 0]])
    np.testing.assert_array_equal(events.positions[:, 0], shown[:, 1])
    for row, (n, slot) in enumerate(shown.tolist()):
        assert events.ids[row] == f"{int(pages.ids[n]):016x}-{slot}"
        gone = set(pages.positions[n, :slot].tolist())
        left = [k for k in range(K) if pages.candidates[n, k] != PAD and k not in gone]
        assert events.actions[row] == len(left)
        assert events.items[row, : len(left)].tolist() == pages.candidates[n, left].tolist()
        assert left[events.chosen[row, 0]] == pages.positions[n, slot]
        np.testing.assert_array_equal(
            events.features[row, : len(left)], pages.features[n][left][:, order]
        )
        assert events.costs[row, 0] == -pages.rewards[n, slot]
        assert events.probabilities[row, 0] == pages.propensities[n, slot]
        assert events.shared[row].tolist() == [
            slot_feature(slot + 1)[slot],
            *pages.features[n, 0, UNIT].tolist(),
        ]


def test_events_per_page_are_read_as_they_were_written(tmp_path: Path) -> None:
    pages = made_up_pages()
    events = read_dsjson(written(tmp_path, ccb_lines(pages)))
    np.testing.assert_array_equal(events.chosen, pages.positions)
    np.testing.assert_array_equal(events.items, pages.candidates)
    np.testing.assert_array_equal(events.units, pages.units)
    shown = pages.positions != PAD
    slots = np.broadcast_to(np.arange(SLOTS), shown.shape)
    np.testing.assert_array_equal(events.positions, np.where(shown, slots, -1))
    np.testing.assert_array_equal(events.costs[shown], -pages.rewards[shown])
    np.testing.assert_array_equal(events.probabilities[shown], pages.propensities[shown])
    assert (events.probabilities[~shown] == 1.0).all()
    assert events.slot_names == ("slot.slot",)
    np.testing.assert_array_equal(
        events.slots[:, :, 0], np.where(shown, slot_feature(SLOTS), np.float32(0.0))
    )
    first = json.loads(next(ccb_lines(pages)))
    assert first["Timestamp"] == "2023-11-14T22:13:20.0000000Z"
    assert first["VWState"] == {"m": "00000"}


def test_untaught_vowpal_wabbit_has_the_loss_of_a_uniform_policy(tmp_path: Path) -> None:
    """Its loss is the estimate by importance weights, which a uniform law gives in closed form."""
    pages = made_up_pages()
    path = written(tmp_path, cb_lines(pages))
    loss, count = run_vowpal_wabbit(path, "--cb_explore_adf", "--epsilon", "0.1", "-t")
    events = read_dsjson(path)
    weights = 1.0 / (events.probabilities[:, 0] * events.actions)
    assert count == len(events.ids)
    assert loss == pytest.approx(float((events.costs[:, 0] * weights).sum()), rel=1e-5)


def test_vowpal_wabbit_learns_what_its_text_format_teaches(tmp_path: Path) -> None:
    """The progressive loss of its program over the file, and ours over the arrays read back."""
    path = written(tmp_path, cb_lines(made_up_pages()))
    options = ["--cb_explore_adf", "--epsilon", "0.1", "--interactions", "ui"]
    loss, _ = run_vowpal_wabbit(path, *options)
    events, expected = read_dsjson(path), 0.0
    with ActionSets(options) as sets:
        for row in range(len(events.ids)):
            shared, actions = text_of(events, row)
            chosen, cost = int(events.chosen[row, 0]), float(events.costs[row, 0])
            chance = float(events.probabilities[row, 0])
            parsed = sets.parse("\n".join(actions), rows=len(actions))
            law = sets.law_given(shared, parsed)
            expected += cost / chance * law[chosen]
            lesson = f"0:{cost!r}:{chance!r} {actions[chosen]}"
            sets.learn_after(sets.parse(shared, rows=1), lesson, parsed, chosen=chosen)
    assert loss == pytest.approx(expected, rel=1e-4)
    assert abs(expected) > 1.0


def text_of(events: DsjsonEvents, row: int) -> tuple[str, list[str]]:
    def words(names: tuple[str, ...], values: Any) -> str:
        by_space: dict[str, str] = {}
        for name, value in zip(names, values.tolist(), strict=True):
            space, feature = name.split(".")
            by_space[space] = by_space.get(space, f"|{space}") + f" {feature}:{value!r}"
        return " ".join(by_space.values())

    actions = [
        words(events.names, events.features[row, place]) for place in range(events.actions[row])
    ]
    return f"shared {words(events.shared_names, events.shared[row])}", actions


def test_vowpal_wabbit_reads_the_outcome_of_every_slot(tmp_path: Path) -> None:
    pages = made_up_pages()
    workspace = vowpalwabbit.Workspace("--quiet --dsjson --ccb_explore_adf")
    for n, line in enumerate(ccb_lines(pages)):
        examples = workspace.parse(line)
        kinds = [example.get_ccb_type() for example in examples]
        present = int((pages.candidates[n] != PAD).sum())
        slots = int((pages.positions[n] != PAD).sum())
        assert kinds == [
            workspace.tSHARED,
            *[workspace.tACTION] * present,
            *[workspace.tSLOT] * slots,
        ]
        for slot, example in enumerate(examples[1 + present :]):
            assert example.get_ccb_has_outcome()
            assert example.get_ccb_cost() == pytest.approx(-pages.rewards[n, slot])
            assert example.get_ccb_action(0) == pages.positions[n, slot]
            assert example.get_ccb_probability(0) == pytest.approx(pages.propensities[n, slot])
        workspace.finish_example(examples)
    workspace.finish()


def test_vowpal_wabbit_learns_from_pages(tmp_path: Path) -> None:
    path = written(tmp_path, ccb_lines(made_up_pages()))
    _, count = run_vowpal_wabbit(path, "--ccb_explore_adf", "--epsilon", "0.1")
    assert count == PAGES


def test_events_of_others_are_read(tmp_path: Path) -> None:
    """Words, lists, several features without namespace, whole laws, pages of unequal length."""
    event = {
        "_label_cost": -1,
        "_label_probability": 0.8,
        "_label_Action": 2,
        "EventId": "e1",
        "a": [2, 1],
        "p": [0.8, 0.2],
        "c": {
            "User": {"country": "at", "_hidden": "no"},
            "_multi": [{"T": {"topic": "war", "w": [0.5, 2]}}, {"T": {"new": True}, "plain": 3}],
        },
    }
    events = read_dsjson(written(tmp_path, iter([json.dumps(event), "", json.dumps(event)])))
    assert events.shared_names == ("User.country=at",)
    assert events.names == ("T.new", "T.topic=war", "T.w.0", "T.w.1", "plain")
    assert events.features[1].tolist() == [[0, 1, 0.5, 2, 0], [1, 0, 0, 0, 3]]
    assert events.chosen.tolist() == [[1], [1]]
    assert (events.items == PAD).all()


def changed(kind: Callable[[LoggedPages], Iterator[str]], change: Callable[[Any], None]) -> str:
    event = json.loads(next(kind(made_up_pages())))
    change(event)
    return json.dumps(event)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (cb_lines, lambda e: e.pop("_label_cost"), "lacks '_label_cost'"),
        (cb_lines, lambda e: e.update(_label_cost=math.nan), "numbers must be finite, got NaN"),
        (cb_lines, lambda e: e.update(_label_cost=math.inf), "must be finite, got Infinity"),
        (cb_lines, lambda e: e.update(_label_probability=0), r"in \(0, 1\], got 0.0"),
        (cb_lines, lambda e: e.update(_label_probability=1.5), r"in \(0, 1\], got 1.5"),
        (cb_lines, lambda e: e.update(_label_Action=7), "_label_Action must be _labelIndex"),
        (cb_lines, lambda e: e.update(_labelIndex=9, _label_Action=10), "distinct actions of 5"),
        (cb_lines, lambda e: e["c"].update(_multi=[]), "at least one action"),
        (cb_lines, lambda e: e["c"]["unit"].update(activity=1e300), "in single precision"),
        (ccb_lines, lambda e: e["_outcomes"].pop(), "slots must have as many outcomes"),
        (ccb_lines, lambda e: e["_outcomes"][0].update(_p=[0.7, 0.2]), "must be of one length"),
        (
            ccb_lines,
            lambda e: e["_outcomes"][0].update(_a=[0, 1], _p=[0.7, 0.7]),
            "_p must sum to at most 1",
        ),
        (
            ccb_lines,
            lambda e: e["_outcomes"][0].update(_a=e["_outcomes"][1]["_a"]),
            "choices must be distinct actions",
        ),
    ],
)
def test_events_that_break_a_rule_are_refused_with_their_line(
    kind: Callable[[LoggedPages], Iterator[str]],
    change: Callable[[Any], None],
    message: str,
    tmp_path: Path,
) -> None:
    lines = [next(kind(made_up_pages())), changed(kind, change)]
    with pytest.raises(DataError, match=f"line 2: .*{message}"):
        read_dsjson(written(tmp_path, iter(lines)))


def test_files_that_are_no_dsjson_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be there to read"):
        read_dsjson(tmp_path / "none.json")
    with pytest.raises(DataError, match="line 1: must hold an event"):
        read_dsjson(written(tmp_path, iter(["not json"])))
