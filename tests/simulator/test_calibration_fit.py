"""The search, the loss and the stages on a model whose moments are known in closed form."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from matinee_policies.errors import ConfigError, DataError
from matinee_simulator.calibration.fit import FitSettings, check_start, fit, residuals
from matinee_simulator.calibration.free import FREE, NEVER_FITTED, Box
from matinee_simulator.calibration.journal import Journal
from matinee_simulator.calibration.search import minimise
from matinee_simulator.calibration.target import Target
from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout.estimate import Estimate

TRUE = Parameters(
    click_base=-2.7,
    examination_persistence=0.78,
    leave_base=0.4,
    leave_depth=0.35,
    leave_frailty_sd=1.4,
    return_base=0.6,
    return_absence=0.8,
)
NAMES = (
    "ctr_examined",
    *(f"examined_{slot}" for slot in (3, 8)),
    *(f"leave_{page}" for page in range(1, 7)),
    *(f"return_day_{day}" for day in (1, 3, 7, 14)),
)


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def toy(parameters: Parameters, names: Sequence[str], days: int) -> dict[str, Estimate]:
    """Examination, hazards of a mixture of ten kinds of users, and returns without churn."""
    grid, weights = np.polynomial.hermite_e.hermegauss(10)
    found = {}
    for name in names:
        stem, _, number = name.rpartition("_")
        if name == "ctr_examined":
            value = sigmoid(parameters.click_base)
        elif stem == "examined":
            value = parameters.examination_persistence ** (int(number) - 1)
        elif stem == "leave":
            pages = np.arange(1, int(number) + 1)
            logits = parameters.leave_base + parameters.leave_frailty_sd * grid[:, None]
            chances = 1 / (1 + np.exp(parameters.leave_depth * np.log(pages) - logits))
            reached = weights * (1 - chances[:, :-1]).prod(axis=1)
            value = (reached @ chances[:, -1]) / reached.sum()
        else:
            value = sigmoid(
                parameters.return_base - parameters.return_absence * math.log(int(number))
            )
        found[name] = Estimate(float(value), 0.0)
    return found


def targets(of: Parameters = TRUE, names: Sequence[str] = NAMES) -> list[Target]:
    moments = toy(of, names, 0)
    return [
        Target(name=n, value=moments[n].value, tolerance=0.002, kind="assumption", source="toy")
        for n in names
    ]


def test_known_parameters_are_found_again() -> None:
    found = fit(
        toy,
        targets(),
        start=Parameters(),
        settings=FitSettings(budget=1_000, restarts=1, pull=1e-4, polish=8),
    )
    # Thirteen distances, each within a fraction of its scale.
    assert found.loss < 0.5
    told = {
        "click_base": 0.05,
        "examination_persistence": 0.01,
        "leave_base": 0.1,
        "leave_frailty_sd": 0.15,
        "leave_depth": 0.1,
        "return_base": 0.02,
        "return_absence": 0.02,
    }
    for name, error in told.items():
        assert getattr(found.parameters, name) == pytest.approx(getattr(TRUE, name), abs=error)
    # The errors that the fit states hold the truth, too.
    for free, error in zip(found.free, found.errors.tolist(), strict=True):
        if free.name in told:
            away = abs(getattr(found.parameters, free.name) - getattr(TRUE, free.name))
            assert away < 4 * error
    assert [stage.name for stage in found.stages] == [
        "click",
        "session",
        "return",
        "joint",
        "polish",
    ]
    for stage in found.stages:
        assert stage.after <= stage.before


def test_what_targets_do_not_tell_stays_where_it_was() -> None:
    found = fit(toy, targets(), start=Parameters(), settings=FitSettings(budget=400))
    assert found.parameters.churn_base == pytest.approx(Parameters().churn_base, abs=0.3)
    only = {free.name for free in FREE}
    for field in dataclasses.fields(Parameters):
        if field.name not in only:
            assert getattr(found.parameters, field.name) == getattr(Parameters(), field.name)


def test_groups_without_targets_are_not_fitted() -> None:
    names = [name for name in NAMES if name.startswith("leave")]
    found = fit(toy, targets(names=names), start=Parameters(), settings=FitSettings(budget=60))
    assert {free.group for free in found.free} == {"session"}
    assert found.parameters.return_base == Parameters().return_base
    assert [stage.name for stage in found.stages] == ["session", "polish"]


def test_same_seed_same_result_and_another_seed_another_path() -> None:
    settings = FitSettings(budget=120, polish=0)
    one, again = (fit(toy, targets(), start=Parameters(), settings=settings) for _ in range(2))
    other = dataclasses.replace(settings, search_seed=5)
    assert one.parameters == again.parameters
    assert fit(toy, targets(), start=Parameters(), settings=other).parameters != one.parameters


def test_causal_parameters_are_never_fitted() -> None:
    assert set(NEVER_FITTED) == {"return_goodwill", "churn_goodwill", "goodwill_step"}
    assert not set(NEVER_FITTED) & {free.name for free in FREE}


@pytest.mark.parametrize("restarts", [0, 2])
def test_the_search_finds_a_known_minimum(restarts: int) -> None:
    centre = np.array([0.2, 0.7, 0.5, 0.9])
    calls = []

    def bowl(x: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
        assert ((x >= 0) & (x <= 1)).all()
        calls.append(x)
        return float(((x - centre) * np.array([1.0, 3.0, 10.0, 30.0])) @ (x - centre))

    found = minimise(bowl, start=np.full(4, 0.5), step=0.2, budget=1_200, restarts=restarts, seed=3)
    np.testing.assert_allclose(found.point, centre, atol=0.02)
    assert found.evaluations == len(calls) <= 1_200


def test_the_search_never_ends_worse_than_it_began() -> None:
    found = minimise(
        lambda x: float(x.sum()) if x.any() else -1.0,
        start=np.zeros(3),
        step=0.3,
        budget=30,
        restarts=0,
        seed=1,
    )
    assert found.loss == -1.0
    assert not found.point.any()


def test_one_axis_and_values_that_are_not_finite() -> None:
    found = minimise(
        lambda x: float("nan") if x[0] < 0.5 else float((x[0] - 0.8) ** 2),
        start=np.array([0.1]),
        step=0.3,
        budget=200,
        restarts=0,
        seed=2,
    )
    assert found.point == pytest.approx([0.8], abs=0.01)


def test_residuals_are_in_units_of_the_scale() -> None:
    wanted = [
        Target(name="ctr", value=0.1, tolerance=0.01, kind="log", source="x", standard_error=0.02),
        Target(name="leave_1", value=0.6, tolerance=0.05, kind="log", source="x"),
        Target(name="return_slope", value=0.0, tolerance=0.05, kind="log", source="x"),
    ]
    moments = {
        "ctr": Estimate(0.14, 0.0),
        "leave_1": Estimate(0.55, 0.0),
        "return_slope": Estimate(float("nan"), 0.0),
    }
    assert residuals(moments, wanted) == pytest.approx([2.0, -1.0, 20.0])


def test_the_cube_and_the_parameters_are_one() -> None:
    box = Box.of(("click", "session", "return"), Parameters())
    corner = box.corner()
    assert box.parameters(corner).to_json() == pytest.approx(Parameters().to_json())
    for axis, free in enumerate(box.free):
        for end, value in ((0.0, free.low), (1.0, free.high)):
            moved = corner.copy()
            moved[axis] = end
            assert getattr(box.parameters(moved), free.name) == pytest.approx(value)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"click_base": 2.0}, "click_base must be within -6 and -1 to be fitted, got 2.0"),
        ({"taste_drift": 0.1}, "a world that stands still"),
    ],
)
def test_starts_that_do_not_do_are_refused(change: dict[str, float], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        check_start(dataclasses.replace(Parameters(), **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"budget": 0}, "budget must be >= 1, got 0"),
        ({"step": 0.0}, "step must be > 0, got 0"),
        ({"pull": -1.0}, "pull must be >= 0"),
        ({"restarts": -1}, "restarts must be >= 0"),
    ],
)
def test_settings_that_do_not_do_are_refused(change: dict[str, float], rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        FitSettings.from_json(change)


class Counted:
    """A toy that counts what it is asked."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.calls = 0
        self._stop_after = stop_after

    def __call__(
        self, parameters: Parameters, names: Sequence[str], days: int
    ) -> Mapping[str, Estimate]:
        if self.calls == self._stop_after:
            raise KeyboardInterrupt
        self.calls += 1
        return toy(parameters, names, days)


def run_journal(path: Path, simulate: Counted, *, resume: bool, identity: str = "a") -> Parameters:
    with Journal(simulate, path, identity={"is": identity}, resume=resume) as kept:
        settings = FitSettings(budget=80, polish=1)
        return fit(kept, targets(), start=Parameters(), settings=settings).parameters


def test_an_interrupted_fit_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    whole = Counted()
    expected = run_journal(tmp_path / "whole", whole, resume=False)
    path, first, then = tmp_path / "cut", Counted(37), Counted()
    with pytest.raises(KeyboardInterrupt):
        run_journal(path, first, resume=False)
    with path.open("a") as file:
        file.write('{"key": "torn')
    assert run_journal(path, then, resume=True) == expected
    assert first.calls + then.calls == whole.calls
    assert path.read_bytes() == (tmp_path / "whole").read_bytes()
    again = Counted()
    assert run_journal(path, again, resume=True) == expected
    assert again.calls == 0
    assert run_journal(path, again, resume=False) == expected
    assert again.calls == whole.calls


def test_journals_of_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    run_journal(path, Counted(), resume=False)
    with pytest.raises(DataError, match="must be of the same data"):
        run_journal(path, Counted(), resume=True, identity="b")
    lines = path.read_text().split("\n")
    path.write_text("\n".join([*lines[:4], "{", *lines[4:]]))
    with pytest.raises(DataError, match="line 5: must be an undamaged journal"):
        run_journal(path, Counted(), resume=True)
    path.write_text("hello\n")
    with pytest.raises(DataError, match="journal"):
        run_journal(path, Counted(), resume=True)
