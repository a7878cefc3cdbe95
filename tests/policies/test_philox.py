import numpy as np
import pytest
from scipy.stats import kstest

from matinee_policies import philox

# Known answers of the authors' reference implementation (Random123, file kat_vectors): counter,
# key and result as 32-bit words, low word first.
KNOWN_ANSWERS = [
    (
        (0x00000000, 0x00000000, 0x00000000, 0x00000000),
        (0x00000000, 0x00000000),
        (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
    ),
    (
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def joined(low: int, high: int) -> np.uint64:
    return np.uint64(low | high << 32)


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_known_answers(
    counter: tuple[int, ...], key: tuple[int, ...], answer: tuple[int, ...]
) -> None:
    bits = philox.random_bits(joined(*key), joined(*counter[:2]), joined(*counter[2:]))
    assert bits == (joined(*answer[:2]), joined(*answer[2:]))


def plain_philox(key: int, a: int, b: int) -> tuple[int, int]:
    """The paper's definition in plain Python."""
    mask = 2**32 - 1
    counter = [a & mask, a >> 32, b & mask, b >> 32]
    keys = [key & mask, key >> 32]
    for _ in range(10):
        left, right = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [
            (right >> 32) ^ counter[1] ^ keys[0],
            right & mask,
            (left >> 32) ^ counter[3] ^ keys[1],
            left & mask,
        ]
        keys = [(keys[0] + 0x9E3779B9) & mask, (keys[1] + 0xBB67AE85) & mask]
    return counter[0] | counter[1] << 32, counter[2] | counter[3] << 32


def test_bits_equal_the_definition() -> None:
    words = np.random.default_rng(0).integers(0, 2**64, size=(200, 3), dtype=np.uint64)
    for key, a, b in words:
        low, high = philox.random_bits(key, a, b)
        assert (int(low), int(high)) == plain_philox(int(key), int(a), int(b))


def test_uniform_is_the_upper_53_bits_of_the_first_word() -> None:
    for counter, key, answer in KNOWN_ANSWERS:
        got = philox.uniform(joined(*key), joined(*counter[:2]), joined(*counter[2:]))
        assert got == (int(joined(*answer[:2])) >> 11) / 2**53


def test_draws_have_the_law_they_claim() -> None:
    n = 20_000
    key = philox.stream_key(3, "test")
    counters = np.arange(n, dtype=np.uint64)
    one = np.uint64(1)
    uniforms = np.array([philox.uniform(key, counter, one) for counter in counters])
    normals = np.array([philox.normal(key, counter, one) for counter in counters])
    assert ((uniforms >= 0.0) & (uniforms < 1.0)).all()
    assert kstest(uniforms, "uniform").pvalue > 1e-4
    assert kstest(normals, "norm").pvalue > 1e-4
    # Neighbouring counters, and the two counters, are independent.
    others = np.array([philox.uniform(key, one, counter) for counter in counters])
    for pair in ((uniforms[1:], uniforms[:-1]), (uniforms, others)):
        assert abs(np.corrcoef(*pair)[0, 1]) < 4 / np.sqrt(n)


def test_stream_keys_tell_purposes_apart() -> None:
    keys = {
        int(philox.stream_key(seed, *purpose))
        for seed in (0, 1, -1)
        for purpose in ((), ("a",), ("b",), ("a", "b"), ("ab",), ("a", 1), ("b", "a"))
    }
    assert len(keys) == 21
    assert philox.stream_key(7, "visit", 3) == philox.stream_key(7, "visit", 3)
    assert philox.stream_key(7, "visit").dtype == np.uint64
