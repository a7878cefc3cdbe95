import dataclasses
import json

import pytest

from matinee_policies.errors import ConfigError
from matinee_simulator.parameters import Parameters


def test_round_trips_through_json() -> None:
    parameters = Parameters(retention_sensitivity=0.5, max_pages=4)
    assert Parameters.from_json(json.loads(json.dumps(parameters.to_json()))) == parameters


def test_unknown_parameter_is_refused() -> None:
    with pytest.raises(ConfigError, match="no setting 'clickbait'"):
        Parameters.from_json({"clickbait": 1.0})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("examination_persistence", 0.0),
        ("examination_persistence", 1.01),
        ("click_relevance", -0.1),
        ("click_base", float("nan")),
        ("satiation_half_life", 0.0),
        ("rating_share", 1.5),
        ("retention_sensitivity", -1.0),
        ("goodwill_step", 2.0),
        ("max_pages", 0),
        ("max_pages", 2.5),
        ("max_pages", 5_000),
        ("arrival_days", 0),
        ("fatigue_capacity", 0),
        ("fatigue_cap", -1),
        ("history_mean", 3.0),
        ("history_mean", 500.0),
        ("history_least", 0),
        ("leave_clip_low", 7.0),
        ("new_user_share", True),
        ("history_taste", -0.1),
        ("history_taste", 10.5),
    ],
)
def test_impossible_value_is_named(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        Parameters.from_json({name: value})
    assert repr(value) in str(caught.value)


def test_every_parameter_is_checked() -> None:
    for field in dataclasses.fields(Parameters):
        with pytest.raises(ConfigError, match=field.name):
            Parameters.from_json({field.name: "many"})


def test_whole_number_stands_for_a_fraction() -> None:
    assert Parameters(retention_sensitivity=2).retention_sensitivity == 2
