"""Keys of simulated users: fixed by the name and the seed of a run, so that it can be repeated.

Simulated users have nothing to hide. An offline run takes its keys from here, and so does a live
experiment that is marked simulated: the same users have the same pseudonyms and the same draws.
"""

import hashlib


def pseudonym_key(name: str, seed: int) -> bytes:
    """Key of the pseudonyms of simulated users, 32 bytes.

    Args:
        name: of the run.
        seed: of the run.
    """
    text = f"{name}\x1f{seed}"
    return hashlib.blake2b(text.encode(), digest_size=32, person=b"matinee-units").digest()


def draw_key(name: str, seed: int, arm: str) -> bytes:
    """Key of an arm's draws, 16 bytes: a stream of its own.

    Args:
        name: of the run.
        seed: of the run.
        arm: name of the arm.
    """
    text = f"{name}\x1f{seed}\x1f{arm}"
    return hashlib.blake2b(text.encode(), digest_size=16, person=b"matinee-secret").digest()


def assignment_salt(name: str, seed: int) -> str:
    """Salt by which the users of a run are assigned to arms."""
    return f"{name}-{seed}"
