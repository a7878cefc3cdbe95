"""Decision keys: the published vectors of SipHash-2-4, and the kernel against its twin."""

import numpy as np
import pytest
from scipy import stats

from matinee_platform.decision_keys import decision_keys, siphash_reference
from matinee_policies.errors import ConfigError, ContextError

SECRET = bytes(range(16))

# Outputs of the paper's reference program for messages 00, 00 01, ... of these lengths.
PUBLISHED = {
    0: "310e0edd47db6f72",
    1: "fd67dc93c539f874",
    2: "5a4fa9d909806c0d",
    7: "37d1018bf50002ab",
    8: "6224939a79f5f593",
    9: "b0e4a90bdf82009e",
    15: "e545be4961ca29a1",
    16: "db9bc2577fcc2a3f",
}


@pytest.mark.parametrize(("length", "expected"), PUBLISHED.items())
def test_published_vectors(length: int, expected: str) -> None:
    value = siphash_reference(SECRET, bytes(range(length)))
    assert value.to_bytes(8, "little").hex() == expected


def test_the_papers_own_vector() -> None:
    assert siphash_reference(SECRET, bytes(range(15))) == 0xA129CA6149BE45E5


def test_kernel_gives_the_published_vector() -> None:
    ids = np.array([int.from_bytes(bytes(range(8)), "little")], dtype=np.uint64)
    assert int(decision_keys(SECRET, ids)[0]).to_bytes(8, "little").hex() == PUBLISHED[8]


def test_kernel_equals_its_twin() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        secret = rng.bytes(16)
        ids = rng.integers(0, 2**64, size=50, dtype=np.uint64)
        expected = [siphash_reference(secret, int(one).to_bytes(8, "little")) for one in ids]
        assert decision_keys(secret, ids).tolist() == expected


def test_strided_ids_are_read_in_order() -> None:
    ids = np.arange(20, dtype=np.uint64)
    assert (decision_keys(SECRET, ids[::3]) == decision_keys(SECRET, ids)[::3]).all()


def test_neighbouring_ids_flip_half_of_the_bits() -> None:
    ids = np.arange(20_000, dtype=np.uint64)
    keys = decision_keys(SECRET, ids)
    flipped = np.unpackbits((keys[1:] ^ keys[:-1]).view(np.uint8))
    error = 4 * np.sqrt(0.25 / flipped.size)
    assert abs(flipped.mean() - 0.5) < error
    assert stats.chisquare(np.bincount(keys % np.uint64(64))).pvalue > 1e-4


@pytest.mark.parametrize("size", [0, 15, 17])
def test_secrets_of_another_size_are_refused(size: int) -> None:
    with pytest.raises(ConfigError, match=f"must have 16 bytes, got {size}"):
        decision_keys(bytes(size), np.zeros(1, dtype=np.uint64))


def test_ids_of_another_type_are_refused() -> None:
    with pytest.raises(ContextError, match="uint64"):
        decision_keys(SECRET, np.zeros(1, dtype=np.int64))
