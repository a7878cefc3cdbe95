"""The rules of an experiment's life, without a database."""

import pytest
from pydantic import ValidationError

from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.experiments.errors import LifecycleError, StaleVersionError
from matinee_platform.experiments.lifecycle import (
    State,
    StoredExperiment,
    create,
    expect_version,
    ramp,
    start,
    stop,
)
from matinee_platform.storage.testing_control import example_experiment
from matinee_policies.errors import ConfigError


def fresh(**changes: object) -> StoredExperiment:
    return create(example_experiment(**changes), exists=False, salts={}, now_ms=10)


def begun(**changes: object) -> StoredExperiment:
    return start(fresh(**changes), running=[], salts={}, now_ms=20)


def test_each_step_rises_by_a_version() -> None:
    one = begun(coverage=0.1)
    more = ramp(one, coverage=0.2, now_ms=30)
    ended = stop(more, now_ms=40)
    again = start(ended, running=[], salts={}, salt="other", now_ms=50)
    assert [step.version for step in (one, more, ended, again)] == [2, 3, 4, 5]
    assert [step.changed_at for step in (one, more, ended, again)] == [20, 30, 40, 50]
    assert {step.created_at for step in (one, more, ended, again)} == {10}
    assert again.definition.salt == "other"


@pytest.mark.parametrize("coverage", [-0.1, 1.1, float("nan"), float("inf")])
def test_coverage_is_a_share(coverage: float) -> None:
    with pytest.raises(ConfigError, match="coverage"):
        ramp(begun(coverage=0.1), coverage=coverage, now_ms=30)
    with pytest.raises(ConfigError, match="coverage"):
        start(fresh(), running=[], salts={}, coverage=coverage, now_ms=30)


@pytest.mark.parametrize("coverage", [0.0, 0.5, 0.49999])
def test_coverage_only_grows(coverage: float) -> None:
    with pytest.raises(LifecycleError, match=r"above 0\.5, got"):
        ramp(begun(coverage=0.5), coverage=coverage, now_ms=30)


def test_states() -> None:
    running = begun()
    stopped = stop(running, now_ms=30)
    with pytest.raises(LifecycleError, match="created or stopped to be started, it is running"):
        start(running, running=[], salts={}, salt="other", now_ms=40)
    for idle in (fresh(), stopped):
        with pytest.raises(LifecycleError, match="must be running to be ramped"):
            ramp(idle, coverage=1.0, now_ms=40)
        with pytest.raises(LifecycleError, match="must be running to be stopped"):
            stop(idle, now_ms=40)
    assert stopped.state is State.STOPPED


@pytest.mark.parametrize("salt", ["with space", "layer:front", "", "x" * 65, "a\n", "né"])
def test_salts_are_plain(salt: str) -> None:
    with pytest.raises(LifecycleError, match="salt"):
        start(fresh(), running=[], salts={}, salt=salt, now_ms=20)
    with pytest.raises(ValidationError):
        LiveExperiment.model_validate({**example_experiment().model_dump(), "salt": salt})


def test_touching_slices_are_no_overlap() -> None:
    first = begun(layer="front", layer_slice=(0.2, 0.4))
    for low, high in ((0.0, 0.2), (0.4, 1.0)):
        other = fresh(layer="front", layer_slice=(low, high))
        assert start(other, running=[first.definition], salts={}, now_ms=30)
    for low, high in ((0.0, 0.21), (0.39, 1.0), (0.25, 0.3), (0.0, 1.0)):
        other = fresh(layer="front", layer_slice=(low, high))
        with pytest.raises(LifecycleError, match="must not overlap"):
            start(other, running=[first.definition], salts={}, now_ms=30)
    elsewhere = fresh(layer="back", layer_slice=(0.0, 1.0))
    assert start(elsewhere, running=[first.definition], salts={}, now_ms=30)


def test_versions() -> None:
    one = fresh()
    expect_version(one, None)
    expect_version(one, 1)
    with pytest.raises(StaleVersionError, match="version 1, got 2"):
        expect_version(one, 2)
