"""Run the contract suite on one policy, outside pytest, and say which rules it keeps.

Needs scipy, as `testing` does.
"""

import inspect
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matinee_policies.policy import Policy
from matinee_policies.snapshot import Snapshot
from matinee_policies.testing import PolicyContract
from matinee_policies.testing_data import example_outcomes

IGNORES_LATER = "this policy ignores rewards that come later (return visits)"
"""Said of a policy that learns, but nothing from components after the first."""

_PREFIX = "test_"
_LONGEST_REASON = 300
# It compares with an oracle that only the author of a policy could write.
_NEEDS_AN_ORACLE = "test_propensities_equal_brute_force"


@dataclass(frozen=True, slots=True)
class RuleResult:
    """Whether a policy keeps one rule.

    Attributes:
        rule: the rule, in words.
        passed: whether it is kept.
        reason: what was found where it is not, else empty.
    """

    rule: str
    passed: bool
    reason: str = ""


def check_policy(
    make: Callable[[], Policy], *, dimension: int, draws: int = PolicyContract.draws
) -> list[RuleResult]:
    """Try every rule of `PolicyContract`.

    Args:
        make: gives a new policy, always the same.
        dimension: of the features that the suite makes up.
        draws: slates drawn for the rule of the sampling law.
    """
    contract = PolicyContract()
    contract.make_policy = make  # type: ignore[method-assign]
    contract.dimension = dimension
    contract.draws = draws
    return [_try(contract, name) for name in rule_tests()]


def notes_on(make: Callable[[], Policy], *, dimension: int) -> list[str]:
    """What an author should know of a policy although it breaks no rule.

    Args:
        make: gives a new policy, which keeps every rule.
        dimension: of the features that are made up.
    """
    policy = make()
    if not policy.learns:
        return []
    policy.learn(example_outcomes(1, slates=150, dimension=dimension))
    before = policy.snapshot()
    policy.learn(example_outcomes(1, slates=150, dimension=dimension, first=False))
    return [IGNORES_LATER] if _same_state(before, policy.snapshot()) else []


def rule_tests() -> list[str]:
    """Names of the suite's tests, in their order."""
    tests = [name for name in vars(PolicyContract) if name.startswith(_PREFIX)]
    return [name for name in tests if name != _NEEDS_AN_ORACLE]


def _same_state(one: Snapshot, other: Snapshot) -> bool:
    """Whether two snapshots differ in counters and digests at most."""
    if one.arrays.keys() != other.arrays.keys():
        return False
    arrays = ((one.arrays[name], other.arrays[name]) for name in one.arrays)
    same = all(a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in arrays)
    return same and _uncounted(one.manifest) == _uncounted(other.manifest)


def _uncounted(value: Any) -> Any:
    """The fractions of a manifest: whole numbers count, and texts are digests of what is here."""
    if isinstance(value, dict):
        return {name: _uncounted(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_uncounted(part) for part in value]
    return value if isinstance(value, float) else None


def _try(contract: PolicyContract, name: str) -> RuleResult:
    rule = name.removeprefix(_PREFIX).replace("_", " ")
    test = getattr(contract, name)
    try:
        with tempfile.TemporaryDirectory(prefix="matinee-") as folder:
            test(Path(folder)) if "tmp_path" in inspect.signature(test).parameters else test()
    except AssertionError as error:
        return RuleResult(rule, passed=False, reason=_shortened(str(error)))
    except Exception as error:
        found = _shortened(f"{type(error).__name__}: {error}")
        return RuleResult(rule, passed=False, reason=found)
    return RuleResult(rule, passed=True)


def _shortened(text: str) -> str:
    line = " ".join(text.split()) or "the assertion says no more"
    return line if len(line) <= _LONGEST_REASON else f"{line[: _LONGEST_REASON - 3]}..."
