"""Policies that cannot serve slates of the length set are found before the run."""

import re
from typing import Any

import pytest

from matinee_platform.offline.run import check_settings
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_policies.errors import ConfigError

GREEDY = {"kind": "epsilon_greedy", "epsilon": 0.1, "floor": 0.05}


def _settings(policy: dict[str, Any], *, slots: int) -> ExperimentSettings:
    arms = [
        {"name": "plain", "weight": 0.5, "policy": {"kind": "uniform"}},
        {"name": "odd", "weight": 0.5, "policy": policy},
    ]
    return parse_settings({"name": "small", "slots": slots, "arms": arms})


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (GREEDY, "floor must be <= 1 - (1 - epsilon)^(1/L) = 0.0104807 for epsilon = 0.1"),
        ({"kind": "softmax", "budget": 0.1, "floor": 0.05}, "slates of L = 10 slots, got 0.05"),
        ({"kind": "softmax", "top": 6}, "slots must be <= top = 6 of softmax, got 10"),
        (
            {
                "kind": "mixture",
                "bases": [
                    {"kind": "uniform", "weight": 0.5},
                    {
                        "kind": "epsilon_greedy",
                        "weight": 0.5,
                        "policy": {"epsilon": 0.1, "floor": 0.05},
                    },
                ],
            },
            "floor must be <= 1 - (1 - epsilon)^(1/L)",
        ),
    ],
)
def test_a_policy_that_cannot_serve_the_slates_is_refused(
    policy: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=r"arms\.odd\.policy: .*" + re.escape(message)):
        check_settings(_settings(policy, slots=10))


@pytest.mark.parametrize("policy", [GREEDY, {"kind": "softmax", "top": 6, "budget": 0.3}])
def test_a_policy_that_serves_them_is_not(policy: dict[str, Any]) -> None:
    check_settings(_settings(policy, slots=2))
