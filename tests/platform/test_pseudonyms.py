"""Pseudonyms: the published HMAC, even shards, and no raw id in a message."""

import hashlib

import numpy as np
import pytest
from scipy import stats

from matinee_platform.pseudonyms import Pseudonyms, pseudonyms, shard_of
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.records import SHARDS

SECRET = b"a secret of some length"


def hmac_by_definition(secret: bytes, message: bytes) -> bytes:
    """RFC 2104, for secrets of at most one block."""
    block = secret.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + message).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in block) + inner).digest()


def test_published_vector() -> None:
    # RFC 4231, test case 1.
    assert pseudonyms(["Hi There"], secret=b"\x0b" * 20).tolist() == [0xB0344C61D8DB3853]


def test_equals_the_definition() -> None:
    units = ["", "ada", "Zoë", "\U0001f3ac"]
    expected = [int.from_bytes(hmac_by_definition(SECRET, unit.encode())[:8]) for unit in units]
    found = pseudonyms(units, secret=SECRET)
    assert found.dtype == np.uint64
    assert found.tolist() == expected


def test_another_secret_gives_other_pseudonyms() -> None:
    units = [f"user-{number}" for number in range(1000)]
    first, second = (pseudonyms(units, secret=SECRET + tail) for tail in (b"1", b"2"))
    assert not np.isin(first, second).any()


def test_short_secrets_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 16 bytes, got 15"):
        pseudonyms(["ada"], secret=b"x" * 15)


@pytest.mark.parametrize("wrong", ["\ud800", 7])
def test_ids_that_are_no_text_are_refused_without_naming_one(wrong: object) -> None:
    with pytest.raises(ContextError, match="Unicode text") as error:
        pseudonyms(["ada", wrong], secret=SECRET)  # type: ignore[list-item]
    assert "ada" not in str(error.value)


@pytest.mark.parametrize("length", [16, 63, 64, 65, 200])
def test_one_at_a_time_is_the_same(length: int) -> None:
    secret = bytes(range(1, length + 1))
    units = ["", "ada", "Zoë", "\U0001f3ac", "x" * 300]
    one = Pseudonyms(secret)
    assert [one.of(unit) for unit in units] == pseudonyms(units, secret=secret).tolist()


def test_one_at_a_time_has_the_same_rules() -> None:
    with pytest.raises(ConfigError, match="at least 16 bytes, got 15"):
        Pseudonyms(b"x" * 15)
    for wrong in ("ada\ud800", 7):
        with pytest.raises(ContextError, match="Unicode text") as error:
            Pseudonyms(SECRET).of(wrong)  # type: ignore[arg-type]
        assert "ada" not in str(error.value)


def test_shards_are_even() -> None:
    units = [f"user-{number}" for number in range(100_000)]
    shards = shard_of(pseudonyms(units, secret=SECRET))
    assert shards.dtype == np.uint8
    counts = np.bincount(shards)
    assert counts.size == SHARDS
    assert stats.chisquare(counts).pvalue > 1e-4


def test_no_units_give_no_pseudonyms() -> None:
    assert pseudonyms([], secret=SECRET).shape == (0,)
