"""Digests of requests: what tells a repeated request from another one under the same id.

They are taken over the request as parsed, so that the order of fields, blanks and `1` for `1.0` do
not matter, and under a key, so that a log does not let anyone try out ids of units. Texts are
joined by NUL, which no id contains, and every part is preceded by its length.
"""

import hashlib
from array import array
from itertools import chain
from secrets import token_bytes

from matinee_platform.service.requests import DecisionRequest, RewardRequest

SIZE = 16


def decision_digest(request: DecisionRequest, *, key: bytes) -> bytes:
    """Digest of a decision request, 16 bytes.

    Args:
        request: as parsed; its id is left out, as it is what the digest is kept under.
        key: of the service (`Secrets.digests`).
    """
    candidates = request.candidates
    ids = "" if candidates is None else "\0".join(candidates)
    head = f"{request.experiment}\0{request.unit}\0{request.slots}\0{len(ids)}\0{ids}"
    digest = hashlib.blake2b(head.encode(), key=key, digest_size=SIZE, person=b"decision")
    if request.scores is not None:
        digest.update(b"\0scores" + array("d", request.scores).tobytes())
    if request.features is not None:
        width = len(request.features[0])
        flat = array("d", chain.from_iterable(request.features))
        digest.update(b"\0features%d\0" % width + flat.tobytes())
    if request.at is not None:
        digest.update(b"\0at%r" % request.at.timestamp())
    return digest.digest()


def reward_digest(request: RewardRequest, *, key: bytes) -> bytes:
    """Digest of a reward, 16 bytes; of what happened, not of the token that lets it in."""
    occurred = None if request.occurred_at is None else request.occurred_at.timestamp()
    text = (
        f"{request.decision_id}\0{request.component}\0{request.slot}\0{request.value!r}"
        f"\0{occurred!r}"
    )
    if request.at is not None:
        text += f"\0{request.at.timestamp()!r}"
    return hashlib.blake2b(text.encode(), key=key, digest_size=SIZE, person=b"reward").digest()


def reward_key(request: RewardRequest, *, key: bytes) -> bytes:
    """What stands for a reward's id in the log, 16 bytes; random for one without an id."""
    if request.id is None:
        return token_bytes(SIZE)
    return hashlib.blake2b(
        request.id.encode(), key=key, digest_size=SIZE, person=b"reward-id"
    ).digest()
