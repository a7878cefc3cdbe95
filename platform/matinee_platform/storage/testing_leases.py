"""The tests that every lease passes, of a file and of PostgreSQL: `LeaseContract`.

Subclass it, and give the fixture that it asks for. Needs pytest.
"""

# ruff: noqa: D102, S101 -- names say what tests promise; they assert

import itertools
from collections.abc import Callable

import pytest

from matinee_platform.storage.ports import Lease
from matinee_policies.errors import ConfigError

_number = itertools.count(1)


class LeaseContract:
    """What `Lease` promises; needs the fixture `make_lease`: each call gives another holder.

    A holder that is killed is a test of each implementation's own, with a real process.
    """

    def test_one_holder_at_a_time(self, make_lease: Callable[[], Lease]) -> None:
        first, second = make_lease(), make_lease()
        name = f"lease-{next(_number)}"
        assert not first.held(name)
        assert first.acquire(name)
        assert first.acquire(name)
        assert first.held(name)
        assert not second.acquire(name)
        assert not second.held(name)
        assert second.acquire(f"{name}-other")
        first.release(name)
        first.release(name)
        assert not first.held(name)
        assert second.acquire(name)
        assert not first.acquire(name)
        second.release(name)

    def test_names_are_plain(self, make_lease: Callable[[], Lease]) -> None:
        for name in ("", "a/b", "../a", "a\0", "x" * 129):
            with pytest.raises(ConfigError):
                make_lease().acquire(name)
