"""Excluded items are never candidates, pinned ones always are, and a log can be rebuilt."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from matinee_platform.context_builder import ContextBuilder
from matinee_platform.page_rules import PageRules, with_pins_reference
from matinee_platform.rule_lookup import page_rules
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_platform.unit_interests import interests, interests_reference, item_traits
from matinee_policies.arrays import Float32Array, IndexArray
from matinee_policies.candidates.registry import fit_candidates
from matinee_policies.candidates.seen import empty_seen, mark_seen
from matinee_policies.candidates.top_k import Candidates
from matinee_policies.candidates.unit_ranker import UnitRanker
from matinee_policies.datasets.dataset import Dataset
from matinee_policies.datasets.synthetic import synthetic_dataset
from matinee_policies.errors import ConfigError, ContextError, DataError
from matinee_policies.features import ItemFeatures, UnitStateBatch
from matinee_policies.records import PAD, ContextBatch, SlateBatch

N, DEPTH, K = 12, 40, 20


@pytest.fixture(scope="module")
def data() -> Dataset:
    return synthetic_dataset(seed=2, n_users=150, n_items=400)


@pytest.fixture(scope="module")
def ranker(data: Dataset) -> UnitRanker:
    model = fit_candidates("svd", data.interactions, {}, seed=1)
    return UnitRanker(model, None, keys=np.arange(N, dtype=np.uint64))


def _vectors(ranker: UnitRanker) -> Float32Array:
    width = ranker._model.n_factors
    vectors: Float32Array = np.random.default_rng(3).normal(size=(N, width)).astype(np.float32)
    return vectors


def _rules(items: int, excluded: list[int], pinned: list[int]) -> PageRules:
    flags = np.zeros(items, dtype=np.bool_)
    flags[excluded] = True
    return PageRules(flags, np.array(pinned, dtype=np.int32))


def _settings(**rules: Any) -> ExperimentSettings:
    return parse_settings(
        {
            "candidates": 30,
            "slots": 5,
            "rules": rules,
            "arms": [
                {"name": "ruled", "policy": {"kind": "uniform"}},
                {"name": "free", "policy": {"kind": "uniform"}, "rules": {}},
            ],
        }
    )


def _resolved(data: Dataset, **rules: Any) -> PageRules:
    found = page_rules(_settings(**rules), data.catalogue, known_items=data.catalogue.ids)
    assert set(found) == {"ruled"}
    return found["ruled"]


def test_excluded_items_are_no_candidates_and_others_take_their_places(
    data: Dataset, ranker: UnitRanker
) -> None:
    units, vectors = np.arange(N, dtype=np.int32), _vectors(ranker)
    hidden = empty_seen(N, len(data.catalogue))
    mark_seen(hidden, units, np.arange(N, dtype=np.int32))
    free = ranker.rank(units, vectors, hidden, DEPTH)
    rules = _rules(len(data.catalogue), free.items[:, ::3].reshape(-1).tolist(), [])
    closed = rules.hide(hidden)
    ruled = ranker.rank(units, vectors, closed, DEPTH)
    assert (ruled.items != PAD).all()
    assert not rules.excluded[ruled.items].any()
    for row in range(N):
        kept = [item for item in free.items[row].tolist() if not rules.excluded[item]]
        assert ruled.items[row, : len(kept)].tolist() == kept
    # What was hidden from the unit itself stays hidden.
    assert ((closed & hidden) == hidden).all()


@pytest.mark.parametrize("seed", range(5))
def test_pins_are_among_the_candidates_and_nothing_else_moves(
    data: Dataset, ranker: UnitRanker, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    units, vectors = np.arange(N, dtype=np.int32), _vectors(ranker)
    hidden = empty_seen(N, len(data.catalogue))
    ranked = ranker.rank(units, vectors, hidden, DEPTH)
    # From the top, from the last places of the page, from below it, and from nowhere.
    pins = [ranked.items[0, 1], ranked.items[1, K - 1], ranked.items[2, K - 3], ranked.items[3, 30]]
    pins = list(dict.fromkeys([*map(int, pins), int(rng.integers(400))]))
    mark_seen(hidden, units, np.full(N, pins[seed % len(pins)], dtype=np.int32))
    ranked = ranker.rank(units, vectors, hidden, DEPTH)
    rules = _rules(len(data.catalogue), [], [*pins[:2], PAD, *pins[2:]])
    pinned = rules.with_pins(ranked, ranker, units, vectors, K)
    everything = ranker.rank(
        units, vectors, empty_seen(N, len(data.catalogue)), len(data.catalogue)
    )
    for row in range(N):
        items = pinned.items[row].tolist()
        assert items == with_pins_reference(ranked.items[row].tolist(), pins, K)
        assert set(pins) <= set(items[:K])
        assert len(set(items)) == DEPTH
        own = dict(zip(everything.items[row].tolist(), everything.scores[row], strict=True))
        assert [own[item] for item in items] == pinned.scores[row].tolist()


class _Ranker:
    """Ranks by score all items that are not hidden; item `i` scores `-i`."""

    def rank(self, units: IndexArray, vectors: Float32Array, hidden: Any, k: int) -> Candidates:
        bits = np.unpackbits(hidden.view(np.uint8), axis=1, bitorder="little")
        items = np.array([np.flatnonzero(row == 0)[:k] for row in bits], dtype=np.int32)
        return Candidates(items, -items.astype(np.float32))


def test_small_rankings_equal_the_plain_python_order() -> None:
    rng = np.random.default_rng(17)
    units, vectors = np.zeros(1, dtype=np.int32), np.zeros((1, 1), dtype=np.float32)
    cases = [([2, 10, 6, 8], [5, 10, 2], 4)]
    for _ in range(2000):
        depth = int(rng.integers(2, 9))
        k = int(rng.integers(1, depth + 1))
        few = rng.permutation(12)[: int(rng.integers(1, min(k, 4) + 1))]
        cases.append((rng.permutation(12)[:depth].tolist(), few.tolist(), k))
    for items, pins, k in cases:
        row = np.array([items], dtype=np.int32)
        ranked = Candidates(row, -row.astype(np.float32))
        rules = _rules(12, [], pins)
        found = rules.with_pins(ranked, cast("UnitRanker", _Ranker()), units, vectors, k)
        assert found.items[0].tolist() == with_pins_reference(items, pins, k), (items, pins, k)
        assert (found.scores == -found.items).all()
        assert set(pins) <= set(found.items[0, :k].tolist())


def test_pins_come_first_where_candidates_run_out(data: Dataset, ranker: UnitRanker) -> None:
    units, vectors = np.arange(N, dtype=np.int32), _vectors(ranker)
    hidden = ~empty_seen(N, len(data.catalogue))
    hidden[:, 0] = np.uint64(0b1)  # items 1 to 63 are open
    ranked = ranker.rank(units, vectors, hidden, 80)
    rules = _rules(len(data.catalogue), [], [200, 5])
    pinned = rules.with_pins(ranked, ranker, units, vectors, 70)
    assert (np.sort(pinned.items, axis=1)[:, -64:] == [*range(1, 64), 200]).all()
    assert (pinned.items[:, 64:] == PAD).all()
    assert (pinned.scores[:, 64:] == 0.0).all()


def _contexts(candidates: IndexArray, items: int) -> ContextBatch:
    n, k = candidates.shape
    return ContextBatch(
        candidates,
        np.zeros((n, k, 2), dtype=np.float32),
        np.zeros((n, k), dtype=np.float32),
        np.zeros((items, 1), dtype=np.float32),
    )


def test_contexts_say_what_is_eligible_and_where_the_pins_stand() -> None:
    rules = _rules(9, [4, 6], [7, PAD, 2])
    contexts = rules.apply(_contexts(np.array([[2, 4, 7], [6, 0, PAD]], dtype=np.int32), 9))
    assert contexts.eligible is not None
    assert contexts.pinned is not None
    assert contexts.eligible.tolist() == [[True, False, True], [False, True, True]]
    assert contexts.pinned.tolist() == [[2, PAD, 0], [PAD, PAD, PAD]]


def test_contexts_under_no_exclusion_and_no_pin_are_plain() -> None:
    contexts = _rules(9, [], []).apply(_contexts(np.array([[2, 4, 7]], dtype=np.int32), 9))
    assert contexts.eligible is None
    assert contexts.pinned is None


@pytest.mark.parametrize(
    ("slate", "message"),
    [([1, 0], "pinned item 7 at slot 0"), ([2, 1], "excluded item 4"), ([PAD, 0], "item 7")],
)
def test_a_policy_that_ignores_the_rules_is_stopped(slate: list[int], message: str) -> None:
    rules = _rules(9, [4], [7])
    candidates = np.array([[2, 4, 7]], dtype=np.int32)
    contexts = rules.apply(_contexts(candidates, 9))
    positions = np.array([slate], dtype=np.int32)
    items = np.where(positions == PAD, PAD, candidates[:, positions[0]]).astype(np.int32)
    with pytest.raises(ContextError, match=message):
        rules.check(contexts, SlateBatch(positions, items, np.ones((1, 2))), policy="mine")


def test_names_become_rows(data: Dataset) -> None:
    ids, genres = data.catalogue.ids, data.catalogue.genres
    genre = data.catalogue.genre_names[0]
    free = np.flatnonzero(~genres[:, 0])
    rules = _resolved(
        data,
        exclude_items=[int(ids[free[0]])],
        exclude_genres=[genre],
        pinned={"3": int(ids[free[1]]), 0: int(ids[free[2]])},
    )
    assert rules.excluded[free[0]]
    assert (rules.excluded == (genres[:, 0] | (np.arange(len(ids)) == free[0]))).all()
    assert rules.pinned.tolist() == [free[2], PAD, PAD, free[1]]


def test_text_ids_are_those_of_the_data(data: Dataset) -> None:
    labels = tuple(f"tt{number}" for number in data.catalogue.ids)
    settings = _settings(exclude_items=[labels[4]], pinned={1: labels[9]})
    found = page_rules(
        settings, data.catalogue, known_items=data.catalogue.ids, item_labels=labels
    )["ruled"]
    assert np.flatnonzero(found.excluded).tolist() == [4]
    assert found.pinned.tolist() == [PAD, 9]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"exclude_items": [99_999_999]}, "rules.exclude_items must be item ids .* got 99999999"),
        ({"exclude_items": ["Heat"]}, "got 'Heat'"),
        ({"exclude_genres": ["Westerns"]}, "must be genres of the data .* got 'Westerns'"),
        ({"pinned": {0: 99_999_999}}, "rules.pinned.0 must be item ids of the data"),
    ],
)
def test_unknown_names_are_refused(data: Dataset, rules: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _resolved(data, **rules)


def test_a_pin_of_an_excluded_genre_is_refused(data: Dataset) -> None:
    item = int(np.flatnonzero(data.catalogue.genres[:, 0])[0])
    genre = data.catalogue.genre_names[0]
    with pytest.raises(ConfigError, match=f"must not be excluded, got .* {genre}"):
        _resolved(data, exclude_genres=[genre], pinned={0: int(data.catalogue.ids[item])})


@pytest.mark.parametrize("mixed", [False, True])
def test_pins_that_break_a_cap_by_themselves_are_refused(data: Dataset, mixed: bool) -> None:
    catalogue = data.catalogue
    rows = np.flatnonzero(catalogue.genres[:, 2])[:3]
    pins = {slot: int(catalogue.ids[row]) for slot, row in enumerate(rows)}
    policy: dict[str, Any] = {"kind": "lin_ucb", "caps": {"aspect": 2}}
    if mixed:
        base = {"kind": "lin_ucb", "policy": {"caps": {"aspect": 2}}}
        policy = {"kind": "mixture", "bases": [base, base]}
    arms = [{"name": "capped", "policy": policy}]
    settings = parse_settings({"candidates": 30, "rules": {"pinned": pins}, "arms": arms})
    with pytest.raises(
        ConfigError,
        match=r"rules\.pinned must keep within caps\.aspect = 2 of arm 'capped', got 3 items of",
    ):
        page_rules(settings, catalogue, known_items=catalogue.ids)
    arms[0]["policy"] = {"kind": "lin_ucb", "caps": {"aspect": 3, "creator": 3}}
    settings = parse_settings({"candidates": 30, "rules": {"pinned": pins}, "arms": arms})
    assert set(page_rules(settings, catalogue, known_items=catalogue.ids)) == {"capped"}


def test_rules_must_leave_enough_items(data: Dataset) -> None:
    with pytest.raises(ConfigError, match="at most the 20 items that the rules leave, got 30"):
        _resolved(data, exclude_items=[int(number) for number in data.catalogue.ids[20:]])


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"pinned": {0: 5, 1: 5}}, "pinned must name an item once, got 5 more than once"),
        ({"pinned": {0: 5}, "exclude_items": [5]}, "pinned must not name an excluded item, got 5"),
        ({"pinned": {5: 1}}, "must be below slots = 5, got 5"),
        ({"pinned": {-1: 1}}, "greater than or equal to 0"),
        ({"hide": [1]}, "rules.hide"),
    ],
)
def test_rules_that_contradict_themselves_are_refused(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _settings(**rules)


def test_rules_come_back_from_disk(tmp_path: Path) -> None:
    rules = _rules(9, [4, 6], [7, PAD, 2])
    rules.save(tmp_path / "rules.npz")
    again = PageRules.load(tmp_path / "rules.npz")
    assert (again.excluded == rules.excluded).all()
    assert (again.pinned == rules.pinned).all()
    (tmp_path / "rules.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"rules\.npz"):
        PageRules.load(tmp_path / "rules.npz")


def test_traits_are_genre_shares_and_the_first_person(data: Dataset) -> None:
    traits = item_traits(data.catalogue)
    for row in (0, 17, 399):
        names = [
            name
            for name, share in zip(data.catalogue.genre_names, traits.aspects[row], strict=True)
            if share > 0
        ]
        assert data.catalogue.genres[row].sum() == len(names)
        if names:
            assert np.unique(traits.aspects[row][traits.aspects[row] > 0]).size == 1
        people = data.catalogue.people.of(row)
        expected = data.catalogue.people.names.index(people[0]) if people else -1
        assert traits.creators[row] == expected


def test_interests_are_shares_and_do_not_depend_on_the_batch() -> None:
    rng = np.random.default_rng(4)
    history: Float32Array = (rng.random((500, 20)) ** 9).astype(np.float32)
    history[::7] = 0.0
    history[3] = np.float32(1e-40)
    found = interests(history)
    np.testing.assert_allclose(found, interests_reference(history), rtol=1e-6)
    assert (found[::7] == 0).all()
    np.testing.assert_allclose(found[1:7].sum(axis=1), 1.0, atol=1e-6)
    alone = np.concatenate([interests(history[row : row + 1]) for row in range(500)])
    assert alone.tobytes() == found.tobytes()


def test_a_builder_gives_traits_interests_and_rules(data: Dataset) -> None:
    genres = len(data.catalogue.genre_names)
    state = UnitStateBatch(
        genre_history=np.ones((1, genres), dtype=np.float32),
        genre_exposure=np.zeros((1, genres), dtype=np.float32),
        last_watched=np.array([-1], dtype=np.int32),
        activity=np.zeros(1, dtype=np.float32),
        days_since_visit=np.zeros(1, dtype=np.float32),
    )
    items = ItemFeatures.build(data.catalogue, data.interactions)
    builder = ContextBuilder(items, item_traits(data.catalogue), _rules(len(items), [1], [0]))
    candidates = np.array([[3, 1, 0]], dtype=np.int32)
    contexts = builder.build(state, candidates, np.full((1, 3), 0.5, dtype=np.float32))
    assert contexts.traits is builder.traits
    assert contexts.interests is not None
    np.testing.assert_allclose(contexts.interests, 1.0 / genres, rtol=1e-6)
    assert contexts.eligible is not None
    assert contexts.eligible.tolist() == [[True, False, True]]
