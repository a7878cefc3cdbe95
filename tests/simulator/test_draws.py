import numpy as np

from matinee_policies.philox import normal, uniform
from matinee_simulator.draws import Streams, moment, normals, streams, uniforms

NUMBERS = np.array([5, 0, 2**63], dtype=np.uint64)


def test_no_two_slots_share_a_counter() -> None:
    places = [(d, p, s) for d in (0, 1, 30_000) for p in (0, 1, 4_094) for s in (0, 1, 65_535)]
    assert len({int(moment(*place)) for place in places}) == len(places)
    assert int(moment(3, 2, 1)) == 3 * 2**32 + 2 * 2**16 + 1


def test_every_purpose_has_its_own_stream() -> None:
    keys = [int(key) for seed in (1, 2) for key in streams(seed)]
    assert len(set(keys)) == 2 * len(Streams._fields)


def test_batches_of_draws_equal_single_ones() -> None:
    key = streams(4).click
    for many, one in ((uniforms, uniform), (normals, normal)):
        expected = [[one(key, number, np.uint64(c)) for c in range(3)] for number in NUMBERS]
        np.testing.assert_array_equal(many(key, NUMBERS, 3), expected)
