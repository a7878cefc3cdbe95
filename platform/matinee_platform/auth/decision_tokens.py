"""Tokens that come with a decision and go with its rewards: nobody else can reward it.

A token is the time until which it holds and an HMAC-SHA256 (RFC 2104) of that time and the decision
id, in URL-safe Base64: 54 characters. It says nothing that the answer does not say.
"""

import base64
import binascii
import hmac

from matinee_policies.errors import ConfigError

LEAST_SECRET = 32
"""Bytes that the secret has at least."""

_PURPOSE = b"matinee-decision-token-1\n"
_TIME_BYTES = 8
_TOKEN_BYTES = _TIME_BYTES + 32


class DecisionTokens:
    """Signs and checks.

    Args:
        secret: at least `LEAST_SECRET` bytes.

    Raises:
        ConfigError: on a short secret.

    Example:
        >>> tokens = DecisionTokens(bytes(32))
        >>> token = tokens.sign(7, expires_ms=2_000)
        >>> tokens.valid(token, decision_id=7, now_ms=2_000)
        True
        >>> tokens.valid(token, decision_id=8, now_ms=2_000)
        False
        >>> tokens.valid(token, decision_id=7, now_ms=2_001)
        False
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < LEAST_SECRET:
            raise ConfigError(
                f"the secret of decision tokens must have at least {LEAST_SECRET} bytes, "
                f"got {len(secret)}"
            )
        self._secret = secret

    def sign(self, decision_id: int, *, expires_ms: int) -> str:
        """The token of a decision.

        Args:
            decision_id: within 0 and 2^64 - 1.
            expires_ms: last millisecond at which it holds, UTC.
        """
        time = expires_ms.to_bytes(_TIME_BYTES, "big")
        code = hmac.digest(self._secret, _PURPOSE + decision_id.to_bytes(8, "big") + time, "sha256")
        return base64.urlsafe_b64encode(time + code).rstrip(b"=").decode()

    def valid(self, token: str, *, decision_id: int, now_ms: int) -> bool:
        """Whether it was signed here for this decision and is not over.

        Codes are compared in constant time, in the one spelling that `sign` gives.
        """
        try:
            content = base64.b64decode(token + "==", altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return False
        if len(content) != _TOKEN_BYTES:
            return False
        expires_ms = int.from_bytes(content[:_TIME_BYTES], "big")
        wanted = self.sign(decision_id, expires_ms=expires_ms)
        return hmac.compare_digest(wanted.encode(), token.encode()) and now_ms <= expires_ms
