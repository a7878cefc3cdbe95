"""The master secret of a service, and the keys that are derived from it, one per purpose.

Whoever holds one derived key learns nothing of the others. No secret appears in a `repr`, an error
or a log.
"""

import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from typing import Self

from matinee_platform.service.loopback import is_loopback
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.storage.private_files import NO_LINKS, private_folder
from matinee_policies.errors import ConfigError
from matinee_policies.snapshot_signature import SigningKeys

FILE_VARIABLE = "MATINEE_SECRET_FILE"
"""Environment variable that names the file of the master secret."""

FILE_NAME = "secret"
"""File within the data folder that is made at the first start on loopback."""

LEAST_BYTES = 32

_HEX = re.compile(r"[0-9a-fA-F]+\Z")


class Secrets:
    """Keys by purpose.

    Args:
        master: at least `LEAST_BYTES` bytes.

    Attributes:
        pseudonyms: key of the pseudonyms of units, 32 bytes.
        decision_ids: key that turns the text of a decision id into a number, 32 bytes.
        digests: key of the digests of bodies and of reward ids, 32 bytes.
        api_keys: key under which API keys are stored, 32 bytes.
        tokens: key of decision tokens, 32 bytes.
        signing: keys of snapshots and bundles.

    Example:
        >>> secrets = Secrets(bytes(32))
        >>> secrets
        Secrets(...)
        >>> secrets.draws("home", "new") != secrets.draws("home", "old")
        True
    """

    __slots__ = (
        "_master",
        "api_keys",
        "decision_ids",
        "digests",
        "pseudonyms",
        "signing",
        "tokens",
    )

    def __init__(self, master: bytes) -> None:
        if len(master) < LEAST_BYTES:
            raise ConfigError(
                f"the master secret must have at least {LEAST_BYTES} bytes, got {len(master)}"
            )
        # BLAKE2b takes keys up to 64 bytes; a longer secret is first brought to that.
        self._master = master if len(master) <= 64 else hashlib.blake2b(master).digest()
        self.pseudonyms = self._derived(b"pseudonyms")
        self.decision_ids = self._derived(b"decision-ids")
        self.digests = self._derived(b"digests")
        self.api_keys = self._derived(b"api-keys")
        self.tokens = self._derived(b"tokens")
        self.signing = SigningKeys({"service": self._derived(b"signing")})

    def __repr__(self) -> str:
        return "Secrets(...)"

    def draws(self, experiment: str, arm: str) -> bytes:
        """The 16 bytes from which the draws of an arm's slates come."""
        return self._derived(b"draws", f"{experiment}/{arm}".encode(), size=16)

    @classmethod
    def load(
        cls, settings: ServiceSettings, *, environment: Mapping[str, str] | None = None
    ) -> Self:
        """Read the master secret, or make one.

        `MATINEE_SECRET_FILE` names its file; else it is `DATA_DIR/secret`, which is made at the
        first start of a service that listens on loopback, readable by its owner alone.

        Args:
            settings: of the service.
            environment: variables; those of this process if not given.

        Raises:
            ConfigError: if there is none, it is too short, or others may read it.
        """
        named = (os.environ if environment is None else environment).get(FILE_VARIABLE)
        if named is not None:
            return cls(_read(Path(named)))
        path = settings.data_dir / FILE_NAME
        if not path.exists():
            if not is_loopback(settings.host):
                raise ConfigError(
                    f"a service that listens on {settings.host} needs a master secret: "
                    f"{FILE_VARIABLE} must name a file of at least {2 * LEAST_BYTES} hex digits"
                )
            _make(path)
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(f"{path} must be readable by its owner alone (chmod 600)")
        return cls(_read(path))

    def _derived(self, purpose: bytes, detail: bytes = b"", *, size: int = 32) -> bytes:
        return hashlib.blake2b(
            detail, key=self._master, person=purpose.ljust(16, b"\0"), digest_size=size
        ).digest()


def _read(path: Path) -> bytes:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigError(f"secret file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"secret file {path} must hold hex digits alone") from None
    if not _HEX.match(text) or len(text) < 2 * LEAST_BYTES or len(text) % 2:
        raise ConfigError(
            f"secret file {path} must hold an even number of hex digits, at least "
            f"{2 * LEAST_BYTES}, and nothing else"
        )
    return bytes.fromhex(text)


def _make(path: Path) -> None:
    """Write a new secret; of several processes that try, one wins and the others read its file."""
    private_folder(path.parent)
    draft = path.with_name(f"{path.name}.{token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(token_hex(LEAST_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            _name(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _name(draft: Path, path: Path) -> None:
    """Give a draft its name, unless another process did, where there are no hard links."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if not path.exists():
            draft.replace(path)
    finally:
        os.close(folder)
