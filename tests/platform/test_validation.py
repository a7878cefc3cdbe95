"""The acceptance tests pass on the simulated users, and fail on broken ones."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy import stats

from matinee_platform.validation.checks import GROUPS, KEYS, wanted_keys
from matinee_platform.validation.claims import ACCEPTANCE
from matinee_platform.validation.equal_arms import control_is_flat
from matinee_platform.validation.equations import moves, terms, wrong_ways
from matinee_platform.validation.evidence import Evidence, Request
from matinee_platform.validation.page_oracle import oracle_beats_swaps, swapped_slates
from matinee_platform.validation.paired import ctr_gap, gap, sessions
from matinee_platform.validation.rankings import clicks_are_not_visits
from matinee_platform.validation.recovery import ExplorationLog, explore, fit_position_model
from matinee_platform.validation.request import make_request
from matinee_platform.validation.runner import facts_hold, run_validation
from matinee_platform.validation.same_bytes import same_bytes, user_digests
from matinee_platform.validation.size import QUICK
from matinee_policies.datasets.dataset import Dataset
from matinee_policies.datasets.synthetic import synthetic_dataset
from matinee_policies.errors import ConfigError
from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout import click_order, relevance_order
from matinee_simulator.stylised_facts import FACTS, Figure, Finding, Verdict, fact
from matinee_simulator.world import World

SMALL = dataclasses.replace(
    QUICK, name="small", seeds=2, users=300, days=40, histories=2, pages=2, swaps=200
)


class SmallEvidence(Evidence):
    """Evidence on a small drawn catalogue."""

    def __init__(self, dataset: Dataset, **changes: Any) -> None:
        super().__init__(Request(data=None, parameters=Parameters(**changes), seed=1, size=SMALL))
        self.__dict__["dataset"] = dataset


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return synthetic_dataset(seed=0, n_users=150, n_items=600)


@pytest.fixture(scope="module")
def evidence(dataset: Dataset) -> Evidence:
    return SmallEvidence(dataset)


@pytest.fixture(scope="module")
def world(evidence: Evidence) -> World:
    return evidence.world


def test_every_term_points_the_right_way_and_a_turned_one_is_seen() -> None:
    found = terms(Parameters())
    assert len({term.name for term in found}) == len(found) == 19
    for term in found:
        moved = moves(term, seed=1)
        assert not wrong_ways(term, moved).any(), term.name
        turned = dataclasses.replace(term, sign=-term.sign)
        assert wrong_ways(turned, moves(turned, seed=1)).all(), term.name


def test_a_term_that_is_off_must_not_move() -> None:
    (term,) = [
        term
        for term in terms(Parameters(click_redundancy=0.0))
        if term.name == "redundancy lowers clicks"
    ]
    assert term.weight == 0.0
    assert not wrong_ways(term, moves(term, seed=1)).any()
    assert wrong_ways(term, np.array([0.0, 0.1])).tolist() == [False, True]


def test_the_same_bytes_for_any_batch(world: World) -> None:
    finding = same_bytes(world, Parameters(), seed=3)
    assert finding.verdict is Verdict.PASS, finding.reason


def test_digests_see_a_change_of_one_parameter(world: World) -> None:
    users = np.arange(5)
    base = user_digests(world, Parameters(), users, seed=1)
    other = user_digests(world, Parameters(watch_noise=0.9), users, seed=1)
    assert base != other


@pytest.mark.parametrize("redundancy", [0.0, 0.8])
def test_swaps_gain_nothing(world: World, redundancy: float) -> None:
    parameters = Parameters(click_redundancy=redundancy)
    finding = oracle_beats_swaps(world, parameters, pages=2, swaps=200, seed=2)
    assert finding.verdict is Verdict.PASS, finding.reason


def test_swaps_gain_on_a_page_that_is_not_the_best(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matinee_simulator.oracle import Oracle

    best_page = Oracle.best_page

    def turned(self: Oracle, *args: Any, **named: Any) -> Any:
        found = best_page(self, *args, **named)
        return found._replace(slates=np.ascontiguousarray(found.slates[:, ::-1]))

    monkeypatch.setattr(Oracle, "best_page", turned)
    finding = oracle_beats_swaps(world, Parameters(), pages=2, swaps=50, seed=2)
    assert finding.verdict is Verdict.FAIL
    assert "swaps that gain" in finding.reason


def test_a_swap_changes_two_ranks_or_one_item() -> None:
    slate, candidates = np.arange(10, dtype=np.int32), np.arange(30, dtype=np.int32)
    slates = swapped_slates(slate, candidates, swaps=40, rng=np.random.default_rng(1))
    changed = (slates != slate).sum(axis=1)
    assert changed[::2].tolist() == [2] * 20
    assert changed[1::2].tolist() == [1] * 20
    assert all(np.unique(one).size == 10 for one in slates)


def test_the_control_is_flat_and_the_world_is_not(evidence: Evidence) -> None:
    finding = control_is_flat(evidence)
    assert finding.verdict is Verdict.PASS, finding.reason
    runs = [evidence.played(ranker, 1) for ranker in (relevance_order(), click_order())]
    assert (runs[0].visits != runs[1].visits).any()


def test_clicks_are_visits_where_satisfaction_does_not_matter(dataset: Dataset) -> None:
    control = SmallEvidence(dataset, retention_sensitivity=0.0)
    finding = clicks_are_not_visits(control)
    assert finding.verdict is Verdict.FAIL
    assert "p-value of a lower D28" in finding.reason
    assert "higher CTR" not in finding.reason


def test_gaps_are_those_of_a_paired_test(evidence: Evidence) -> None:
    one = [evidence.played(click_order(), seed) for seed in (1, 2)]
    two = [evidence.played(relevance_order(), seed) for seed in (1, 2)]
    found = gap(one, two, sessions)
    values = [np.concatenate([played.user_sessions for played in runs]) for runs in (one, two)]
    expected = stats.ttest_rel(values[0], values[1], alternative="less")
    assert found.clear == pytest.approx(expected.statistic, rel=1e-9)
    # With so many users the law of t is the normal one, but not in its far tail.
    assert found.p_value(above=False) == pytest.approx(stats.norm.cdf(expected.statistic), rel=1e-9)
    clicks, shown = (
        [sum(int(getattr(p, name).sum()) for p in runs) for runs in (one, two)]
        for name in ("user_clicks", "user_impressions")
    )
    rate = ctr_gap(one, two)
    assert rate.first == pytest.approx(clicks[0] / shown[0], rel=1e-9)
    assert rate.second == pytest.approx(clicks[1] / shown[1], rel=1e-9)


def drawn_log(seed: int, *, users: int = 1_500) -> ExplorationLog:
    """Clicks drawn from the model by numpy alone."""
    rng = np.random.default_rng(seed)
    n = users * 10
    features = np.column_stack([np.ones(n), rng.normal(size=(n, 5))])
    beta = np.array([-1.5, 0.9, 0.7, -0.6, -0.8, -0.3])
    depth = np.repeat(rng.geometric(1 - 0.85, users), 10)
    rank = np.tile(np.arange(10), users)
    chance = 1 / (1 + np.exp(-features @ beta))
    return ExplorationLog(
        user=np.repeat(np.arange(users, dtype=np.int32), 10),
        rank=rank,
        clicked=(rank < depth) & (rng.random(n) < chance),
        propensity=np.asarray(1.0 / (500.0 - rank), dtype=np.float64),
        features=features,
    )


def test_the_position_model_is_recovered_with_honest_errors() -> None:
    truth = np.array([0.85, -1.5, 0.9, 0.7, -0.6, -0.8, -0.3])
    fits = [fit_position_model(drawn_log(seed)) for seed in range(12)]
    scores = np.array([(fit.values - truth) / fit.errors for fit in fits])
    assert np.abs(scores).max() < 4.5
    # 84 scores of sd 1: their root mean square is within 4 standard errors.
    assert np.sqrt(np.mean(scores**2)) == pytest.approx(1.0, abs=4 / np.sqrt(2 * 84))


def test_an_exploration_log_holds_the_truth_of_the_click_equation(world: World) -> None:
    parameters = Parameters(examination_persistence=1.0, click_base=-1.0)
    log = explore(world, parameters, users=60, days=4, seed=1)
    assert (log.propensity[log.rank == 0] == 1 / world.n_items).all()
    beta = np.array([-1.0, 0.9, 0.7, -0.6, -0.8, -0.3])
    expected = 1 / (1 + np.exp(-log.features @ beta))
    error = np.sqrt((expected * (1 - expected)).sum())
    assert abs(log.clicked.sum() - expected.sum()) < 4 * error
    assert (log.features[:, 3:] >= 0).all()
    assert (log.features[:, 5] > 0).any()


def test_keys_are_asked_for_by_number_name_or_kind() -> None:
    assert (*(claim.key for claim in FACTS), *(f"T{n}" for n in range(1, 13))) == KEYS
    assert wanted_keys([]) == KEYS
    assert wanted_keys(["t9,9"]) == ("fact-9", "T9")
    assert wanted_keys(["tests"]) == tuple(ACCEPTANCE)
    with pytest.raises(ConfigError, match=r"T1 to T12.*got 'T13'"):
        wanted_keys(["T13"])
    checks = {key for group in GROUPS.values() for key in group}
    ungated = {claim.key for claim in FACTS if claim.why_not}
    assert checks | ungated | {"T9"} == set(KEYS)


def test_requests_are_checked_before_anything_runs() -> None:
    request = make_request(
        data={},
        scenario="control",
        calibration=None,
        changes=["click_appeal=0.5"],
        seed=2,
        quick=True,
    )
    assert request.size is QUICK
    assert request.parameters.retention_sensitivity == 0.0
    assert request.parameters.click_appeal == 0.5
    common: dict[str, Any] = {"scenario": None, "calibration": None, "seed": 1, "quick": True}
    with pytest.raises(ConfigError, match="key=value"):
        make_request(data={}, changes=["click_appeal"], **common)
    with pytest.raises(ConfigError, match="name the DATA too"):
        make_request(data={"users": "u"}, changes=[], **common)
    with pytest.raises(ConfigError, match="examination_persistence"):
        make_request(data={}, changes=["examination_persistence=2"], **common)
    with pytest.raises(ConfigError, match="workers must be >= 1"):
        run_validation(request, workers=0)


def test_facts_are_gathered_into_one_test() -> None:
    def judged(number: int, value: float) -> Finding:
        return fact(number).finding([Figure(name="a", value=value, low=0.0, high=1.0)])

    assert facts_hold([judged(1, 0.5), judged(2, 0.5)]).verdict is Verdict.PASS
    finding = facts_hold([judged(1, 0.5), judged(2, 2.0)])
    assert finding.verdict is Verdict.FAIL
    assert "fact-2" in finding.reason
    skipped = fact(3).without(Verdict.NOT_APPLICABLE, "no tail")
    assert facts_hold([judged(1, 0.5), skipped]).verdict is Verdict.PASS
    assert facts_hold([skipped]).verdict is Verdict.NOT_APPLICABLE


def test_what_has_not_run_never_passes() -> None:
    finding = ACCEPTANCE["T12"].without(Verdict.NOT_RUN, "why")
    assert finding.verdict is not Verdict.PASS
    assert finding.to_json()["verdict"] == "not run"
