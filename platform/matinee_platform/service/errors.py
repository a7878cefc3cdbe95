"""Errors of the service, and the one table from errors to what a caller sees of them.

MatineeError
└── ServiceError              what a request did wrong, or what the service cannot do now
    ├── NotJsonError          the body is no JSON
    ├── MediaTypeError        the body is not sent as application/json
    ├── InvalidError          the body breaks a rule of its form
    ├── TooDeepError          the body is nested too deeply
    ├── TooLargeError         the body has too many bytes
    ├── UnauthenticatedError  no key, or none that is known
    ├── ForbiddenError        the key, the token or the host does not allow this
    ├── NotFoundError         there is nothing under this name
    ├── ConflictError         the id was used with another body
    ├── RateLimitedError      too many requests for this key
    ├── RewardCapError        too many rewards for this decision
    ├── OverloadedError       too many requests at once
    ├── NotReadyError         the service starts or stops
    └── UnsupportedError      this service was set up without this function

Messages may name the experiment, the arm or the item that breaks a rule, never a unit, a decision,
a reward or a key: none of these comes back, or into a log.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from matinee_platform.experiments.errors import (
    LifecycleError,
    StaleVersionError,
    UnknownExperimentError,
)
from matinee_platform.serving.errors import GoneError
from matinee_platform.storage.errors import LeaseLostError, LogBusyError, LogUnavailableError
from matinee_policies.errors import (
    ConfigError,
    ContextError,
    DataError,
    MatineeError,
    SnapshotError,
)


class ServiceError(MatineeError):
    """What a request did wrong, or what the service cannot do now.

    Args:
        detail: one sentence for the caller.
        retry_after: seconds after which another try makes sense, if it does.
        faults: what is wrong at which place of the body.
    """

    def __init__(
        self, detail: str, *, retry_after: int | None = None, faults: tuple["Fault", ...] = ()
    ) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        self.faults = faults


class NotJsonError(ServiceError):
    """The body is no JSON."""


class MediaTypeError(ServiceError):
    """The body is not sent as application/json."""


class InvalidError(ServiceError):
    """The body breaks a rule of its form."""


class TooDeepError(ServiceError):
    """The body is nested too deeply."""


class TooLargeError(ServiceError):
    """The body has too many bytes."""


class UnauthenticatedError(ServiceError):
    """No key was sent, or none that is known."""


class ForbiddenError(ServiceError):
    """The key, the token or the host does not allow this."""


class NotFoundError(ServiceError):
    """There is nothing under this name."""


class ConflictError(ServiceError):
    """The id was used before, with another body."""


class RateLimitedError(ServiceError):
    """Too many requests came with this key."""


class RewardCapError(ServiceError):
    """Too many rewards came for this decision."""


class OverloadedError(ServiceError):
    """Too many requests are being answered."""


class NotReadyError(ServiceError):
    """The service starts or stops."""


class UnsupportedError(ServiceError):
    """This service was set up without this function."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One place of a body that breaks a rule.

    Attributes:
        where: path within the body, e.g. `candidates.3`.
        rule: what must hold there.
    """

    where: str
    rule: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of answer that is no success.

    Attributes:
        code: short name for programs.
        status: of HTTP.
        title: the same for people.
        retry_after: seconds to wait before another try, if one may help.
    """

    code: str
    status: int
    title: str
    retry_after: int | None = None


NOT_JSON = Problem("not_json", 422, "The body must be JSON")
MEDIA_TYPE = Problem("media_type", 415, "The body must be sent as application/json")
INVALID = Problem("invalid", 422, "The request breaks a rule")
TOO_DEEP = Problem("too_deep", 422, "The body is nested too deeply")
TOO_LARGE = Problem("too_large", 413, "The body is too large")
UNAUTHENTICATED = Problem("unauthenticated", 401, "A valid API key is needed")
FORBIDDEN = Problem("forbidden", 403, "This is not allowed")
NOT_FOUND = Problem("not_found", 404, "There is nothing here")
METHOD = Problem("method", 405, "The method is not allowed here")
CONFLICT = Problem("conflict", 409, "The request contradicts what is stored")
GONE = Problem("gone", 410, "What this was made with is not there any more")
RATE_LIMITED = Problem("rate_limited", 429, "Too many requests", 1)
REWARD_CAP = Problem("reward_cap", 422, "Too many rewards of one decision")
OVERLOADED = Problem("overloaded", 503, "Too many requests at once", 1)
LOG_BUSY = Problem("log_busy", 503, "The log takes in no more now", 1)
LOG_UNAVAILABLE = Problem("log_unavailable", 503, "The log cannot be written now", 2)
NOT_READY = Problem("not_ready", 503, "The service is not ready", 1)
UNSUPPORTED = Problem("unsupported", 501, "This service was set up without this function")
INTERNAL = Problem("internal", 500, "The service failed")

PROBLEMS = (
    NOT_JSON,
    MEDIA_TYPE,
    INVALID,
    TOO_DEEP,
    TOO_LARGE,
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_FOUND,
    METHOD,
    CONFLICT,
    GONE,
    RATE_LIMITED,
    REWARD_CAP,
    OVERLOADED,
    LOG_BUSY,
    LOG_UNAVAILABLE,
    NOT_READY,
    UNSUPPORTED,
    INTERNAL,
)
"""Every kind, as docs/service.md lists them."""

TABLE: Mapping[type[BaseException], Problem] = {
    NotJsonError: NOT_JSON,
    MediaTypeError: MEDIA_TYPE,
    InvalidError: INVALID,
    TooDeepError: TOO_DEEP,
    TooLargeError: TOO_LARGE,
    UnauthenticatedError: UNAUTHENTICATED,
    ForbiddenError: FORBIDDEN,
    NotFoundError: NOT_FOUND,
    ConflictError: CONFLICT,
    RateLimitedError: RATE_LIMITED,
    RewardCapError: REWARD_CAP,
    OverloadedError: OVERLOADED,
    NotReadyError: NOT_READY,
    UnsupportedError: UNSUPPORTED,
    GoneError: GONE,
    LogBusyError: LOG_BUSY,
    LogUnavailableError: LOG_UNAVAILABLE,
    LeaseLostError: CONFLICT,
    UnknownExperimentError: NOT_FOUND,
    LifecycleError: CONFLICT,
    StaleVersionError: CONFLICT,
    ContextError: INVALID,
    ConfigError: INVALID,
    DataError: INVALID,
    SnapshotError: CONFLICT,
    MatineeError: INVALID,
}
"""What each class of error becomes; a class that is not listed goes by its nearest ancestor."""


def problem_of(
    error: BaseException, *, more: Mapping[type[BaseException], Problem] | None = None
) -> Problem:
    """The problem that an error is.

    Args:
        error: what was raised.
        more: classes beyond `TABLE`; they come first.

    Example:
        >>> problem_of(ConflictError("x")).status, problem_of(KeyError("x")).status
        (409, 500)
    """
    for kind in type(error).__mro__:
        found = (more or {}).get(kind) or TABLE.get(kind)
        if found is not None:
            return found
    return INTERNAL
