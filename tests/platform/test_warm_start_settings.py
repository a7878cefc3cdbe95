import pytest

from matinee_platform.settings import ExperimentSettings, WarmStartSettings, parse_settings
from matinee_policies.errors import ConfigError


def arm_with(warm_start: object) -> ExperimentSettings:
    return parse_settings(
        {"arms": [{"name": "a", "policy": {"kind": "lin_ucb"}, "warm_start": warm_start}]}
    )


@pytest.mark.parametrize(
    "warm_start",
    [
        {"snapshot": "runs/old/snapshots/a/00034.npz", "discount": 0.5},
        {"log": "runs/old:a", "estimator": "ips", "clip": 5},
        {"mf_prior": {}},
        {"mf_prior": {"weight": 0.2, "strength": 10}},
    ],
)
def test_warm_starts_survive_json(warm_start: object) -> None:
    settings = arm_with(warm_start)
    assert ExperimentSettings.model_validate_json(settings.model_dump_json()) == settings
    assert parse_settings(settings.model_dump(mode="json")) == settings


def test_the_arm_of_a_log_is_what_stands_after_the_last_colon() -> None:
    assert WarmStartSettings(log="/runs/a:b:arm").run_and_arm() == ("/runs/a:b", "arm")


@pytest.mark.parametrize(
    ("warm_start", "message"),
    [
        ({}, "exactly one of snapshot, log, mf_prior, got none"),
        ({"snapshot": "x", "mf_prior": {}}, "exactly one of .*, got snapshot, mf_prior"),
        ({"snapshot": "x", "discount": 0}, "discount: Input should be greater than 0"),
        ({"snapshot": "x", "discount": 1.5}, "discount: Input should be less than or equal to 1"),
        ({"snapshot": "x", "clip": 2}, r"clip does not go with warm_start\.snapshot"),
        ({"log": "x:a", "discount": 0.5}, r"discount does not go with warm_start\.log"),
        ({"log": "x"}, "log must be RUN:ARM, got 'x'"),
        ({"log": "x:a", "estimator": "magic"}, "estimator: .*got 'magic'"),
        ({"mf_prior": {"weight": 0}}, "weight: Input should be greater than 0"),
        ({"mf_prior": {"strength": -1}}, "strength: Input should be greater than or equal to 0"),
        ({"mf_prior": {"colour": 1}}, "colour: Extra inputs are not permitted"),
    ],
)
def test_bad_warm_starts_are_refused(warm_start: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        arm_with(warm_start)
