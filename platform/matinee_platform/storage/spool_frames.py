"""Records as frames of a file: magic, length, CRC-32, JSON.

A frame that was not written whole is told by its length, a damaged one by its CRC; reading goes on
at the next sound frame.
"""

import base64
import json
import struct
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, NamedTuple
from zlib import crc32

from matinee_platform.storage.append_plan import Record
from matinee_platform.storage.records import DecisionRecord, RewardRecord, ServedBy

_MAGIC = b"\xf1MSP"
_HEAD = struct.Struct("<4sII")
_KINDS: dict[str, type[Record]] = {"decision": DecisionRecord, "reward": RewardRecord}
_NAMES = {kind: tuple(one.name for one in fields(kind)) for kind in _KINDS.values()}


class Frame(NamedTuple):
    """A sound frame: its record, and where it begins and ends."""

    record: Record
    begin: int
    end: int


def to_frame(record: Record) -> bytes:
    """A record as bytes.

    Example:
        >>> reward = RewardRecord(reward_key=b"k" * 16, body_digest=b"d" * 16, decision_id=7,
        ...                       component=0, slot=2, value=1.0, received_at=5)
        >>> [(frame.record == reward, frame.begin) for frame in frames(to_frame(reward))]
        [(True, 0)]
    """
    kind = "decision" if isinstance(record, DecisionRecord) else "reward"
    values = {name: getattr(record, name) for name in _NAMES[type(record)]}
    payload = json.dumps([kind, values], default=_text, separators=(",", ":")).encode()
    return _HEAD.pack(_MAGIC, len(payload), crc32(payload)) + payload


def frames(data: bytes, *, offset: int = 0) -> Iterator[Frame]:
    """The sound frames of some bytes; `offset` is added to their places."""
    at = data.find(_MAGIC)
    while at >= 0:
        frame = _frame_at(data, at, offset)
        if frame is None:
            at = data.find(_MAGIC, at + 1)
        else:
            yield frame
            at = data.find(_MAGIC, frame.end - offset)


def _frame_at(data: bytes, at: int, offset: int) -> Frame | None:
    begin = at + _HEAD.size
    if len(data) < begin:
        return None
    _, length, crc = _HEAD.unpack_from(data, at)
    payload = data[begin : begin + length]
    if len(payload) < length or crc32(payload) != crc:
        return None
    kind, values = json.loads(payload, object_hook=_bytes)
    if kind == "decision":
        values["served_by"] = ServedBy(values["served_by"])
    return Frame(_KINDS[kind](**values), offset + at, offset + begin + length)


def _text(value: Any) -> dict[str, str]:
    return {"base64": base64.b64encode(value).decode()}


def _bytes(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["base64"]) if value.keys() == {"base64"} else value
