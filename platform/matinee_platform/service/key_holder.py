"""The API keys of now: read from the control database by a refresher, asked on every request."""

from matinee_platform.auth.api_keys import ApiKey, KeyRing
from matinee_platform.service.parts import Caller


class KeyHolder:
    """A `parts.KeyRing` over the ring that was read last.

    Args:
        ring: as it is at the start.
    """

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._callers: dict[str, Caller] = {}

    @property
    def empty(self) -> bool:
        """Whether no key was ever made."""
        return self._ring.empty

    def identify(self, presented: str, *, now_ms: int) -> Caller | None:
        """Whose key this is; None for one that is unknown or over."""
        key = self._ring.identify(presented, now_ms=now_ms)
        return None if key is None else self._caller(key)

    def take(self, ring: KeyRing) -> None:
        """Go by another ring from now on."""
        self._ring = ring
        self._callers = {}

    def _caller(self, key: ApiKey) -> Caller:
        caller = self._callers.get(key.key_id)
        if caller is None:
            caller = Caller(key.key_id, frozenset(scope.value for scope in key.scopes))
            self._callers[key.key_id] = caller
        return caller
