"""How large a validation is: a quick form for every day, a full one to be quoted."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Sizes of the experiments of a validation.

    Attributes:
        name: of the form.
        seeds: independent populations of each rollout.
        users: of each population.
        days: of each rollout.
        histories: populations of drawn histories.
        equal_users: users of each A/A test.
        equal_days: days of each A/A test.
        lifetimes: lives of the tabular world for each policy.
        pages: pages whose oracle is put to the test.
        swaps: random swaps of each page.
        recovery_users: users of the exploration log.
        recovery_days: its days.
        learned_users: users of the platform's own run.
        consumption_users: users whose consumption is followed.
    """

    name: str
    seeds: int
    users: int
    days: int
    histories: int
    equal_users: int
    equal_days: int
    lifetimes: int
    pages: int
    swaps: int
    recovery_users: int
    recovery_days: int
    learned_users: int
    consumption_users: int


QUICK = Size(
    name="quick",
    seeds=4,
    users=600,
    days=60,
    histories=2,
    equal_users=200,
    equal_days=14,
    lifetimes=4_000,
    pages=10,
    swaps=1_000,
    recovery_users=2_000,
    recovery_days=8,
    learned_users=600,
    consumption_users=2_000,
)
"""Under a minute on one core."""

FULL = Size(
    name="full",
    seeds=8,
    users=2_500,
    days=90,
    histories=8,
    equal_users=1_000,
    equal_days=28,
    lifetimes=50_000,
    pages=50,
    swaps=1_000,
    recovery_users=6_000,
    recovery_days=20,
    learned_users=4_000,
    consumption_users=10_000,
)
"""A few minutes on two cores."""
