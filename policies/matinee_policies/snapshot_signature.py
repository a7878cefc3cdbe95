"""Keys that sign snapshots, and the record of a signature.

A signature is an HMAC-SHA256 (RFC 2104) of a file's bytes and of the key's id. Whoever holds the
secret can sign as well as verify, so it is for one owner's machines. The first key signs and all of
them verify, which is how a key is replaced without a gap: put the new one first, and drop the old
one when nothing that it signed is needed.

A secret never appears in an error, a `repr` or a log.
"""

import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from matinee_policies.errors import ConfigError, SnapshotError

KEYS_VARIABLE = "MATINEE_SNAPSHOT_KEYS"
"""Environment variable that holds keys, `id:hex` with blanks between them."""

KEY_FILE_VARIABLE = "MATINEE_SNAPSHOT_KEY_FILE"
"""Environment variable that names a file of keys."""

LEAST_SECRET = 32
"""Bytes that a secret has at least."""

_PURPOSE = b"matinee-snapshot-signature-1\n"
_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RECORD = re.compile(rb"hmac-sha256 ([A-Za-z0-9][A-Za-z0-9._-]{0,63}) ([0-9a-f]{64})\n\Z")
_LONGEST_RECORD = 160


@dataclass(frozen=True, slots=True)
class Signature:
    """What the end of a file says of who signed it; true only once `SigningKeys.check` agrees.

    Attributes:
        key_id: of the key.
        code: the HMAC, 64 hex digits.
        length: bytes of the record.
    """

    key_id: str
    code: str
    length: int


@dataclass(frozen=True, slots=True, repr=False)
class SigningKeys:
    """Secrets by their ids; the first one signs, all verify.

    Attributes:
        secrets: at least one, each of at least `LEAST_SECRET` bytes.

    Raises:
        ConfigError: on no key, a bad id or a short secret.

    Example:
        >>> SigningKeys({"2026-11": bytes(32), "2026-05": bytes(range(32))})
        SigningKeys('2026-11', '2026-05')
    """

    secrets: Mapping[str, bytes]

    def __post_init__(self) -> None:
        if not self.secrets:
            raise ConfigError("there must be at least one key for snapshots, got none")
        for key_id, secret in self.secrets.items():
            if not _KEY_ID.fullmatch(key_id):
                # It may be a secret in the wrong place.
                raise ConfigError(
                    "the id of a key must be letters, digits, '.', '_' or '-', at most 64 of them"
                )
            if len(secret) < LEAST_SECRET:
                raise ConfigError(
                    f"the secret of key {key_id!r} must have at least {LEAST_SECRET} bytes, "
                    f"got {len(secret)}"
                )

    def __repr__(self) -> str:
        return f"SigningKeys({', '.join(map(repr, self.secrets))})"

    @classmethod
    def parse(cls, text: str, *, origin: str) -> Self:
        """Keys from text.

        Args:
            text: words `id:hex`; from `#` to the end of a line is a comment.
            origin: where the text comes from, for errors.

        Raises:
            ConfigError: naming origin and entry; never the entry itself.
        """
        words = [word for line in text.splitlines() for word in line.partition("#")[0].split()]
        secrets: dict[str, bytes] = {}
        for number, word in enumerate(words, start=1):
            key_id, colon, digits = word.partition(":")
            try:
                secret = bytes.fromhex(digits)
            except ValueError:
                secret = b""
            if not colon or not secret:
                raise ConfigError(f"{origin}: entry {number} must be ID:HEX-DIGITS")
            if key_id in secrets:
                raise ConfigError(f"{origin}: ids of keys must be distinct, entry {number} is not")
            secrets[key_id] = secret
        try:
            return cls(secrets)
        except ConfigError as error:
            raise ConfigError(f"{origin}: {error}") from None

    @classmethod
    def from_file(cls, path: Path | str) -> Self:
        """Keys from a file; see `parse`.

        Raises:
            ConfigError: if it cannot be read, or holds anything else.
        """
        try:
            text = Path(path).read_text(encoding="ascii")
        except OSError as error:
            raise ConfigError(f"key file {path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"key file {path} must be plain ASCII text") from None
        return cls.parse(text, origin=f"key file {path}")

    @classmethod
    def configured(cls, environment: Mapping[str, str] | None = None) -> Self | None:
        """Keys from the environment; `None` if neither variable is there.

        Args:
            environment: variables; those of this process if not given.

        Raises:
            ConfigError: if both variables are set, or one holds no keys; one that is empty counts
                as a mistake, and does not switch signatures off.
        """
        found = os.environ if environment is None else environment
        if KEYS_VARIABLE in found and KEY_FILE_VARIABLE in found:
            raise ConfigError(f"only one of {KEYS_VARIABLE} and {KEY_FILE_VARIABLE} may be set")
        if KEYS_VARIABLE in found:
            return cls.parse(found[KEYS_VARIABLE], origin=KEYS_VARIABLE)
        if KEY_FILE_VARIABLE in found:
            return cls.from_file(found[KEY_FILE_VARIABLE])
        return None

    @property
    def key_id(self) -> str:
        """Id of the key that signs."""
        return next(iter(self.secrets))

    @property
    def record_length(self) -> int:
        """Bytes of the records that `sign` gives."""
        return len(_record(self.key_id, "0" * 64))

    def sign(self, body: bytes) -> bytes:
        """The record of a signature of `body` by the first key."""
        return _record(self.key_id, _code(self.secrets[self.key_id], self.key_id, body))

    def check(self, signature: Signature | None, body: bytes, *, origin: Path | str) -> None:
        """Refuse whatever none of the keys has signed.

        Args:
            signature: as the file has it, if it has one.
            body: what must have been signed.
            origin: the file, for errors.

        Raises:
            SnapshotError: without a signature, with one of another key, or with a wrong one.
        """
        if signature is None:
            raise SnapshotError(f"snapshot {origin} must be signed, got no signature")
        secret = self.secrets.get(signature.key_id)
        if secret is None:
            known = ", ".join(self.secrets)
            raise SnapshotError(
                f"snapshot {origin} must be signed by one of the keys {known}, "
                f"got {signature.key_id!r}"
            )
        # In constant time: how long it takes does not tell how much of a forgery is right.
        if not hmac.compare_digest(_code(secret, signature.key_id, body), signature.code):
            raise SnapshotError(
                f"the signature of snapshot {origin} is not that of key {signature.key_id!r}"
            )


def trailing_signature(content: bytes) -> Signature | None:
    """The record at the end of `content`, if there is one."""
    found = _RECORD.search(content[-_LONGEST_RECORD:])
    if found is None:
        return None
    return Signature(found[1].decode(), found[2].decode(), length=len(found[0]))


def _code(secret: bytes, key_id: str, body: bytes) -> str:
    code = hmac.new(secret, _PURPOSE + key_id.encode() + b"\n", hashlib.sha256)
    code.update(body)
    return code.hexdigest()


def _record(key_id: str, code: str) -> bytes:
    return f"hmac-sha256 {key_id} {code}\n".encode()
