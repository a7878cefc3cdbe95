"""Errors of the client.

MatineeError
└── CallError              a call did not succeed
    ├── RefusedError       the request breaks a rule; another try changes nothing
    ├── AccessError        the API key is missing, unknown or not allowed to do this
    ├── MissingError       there is nothing under this name
    ├── ContradictionError the id was used with another body, or the change is not possible now
    └── UnavailableError   the service is away, busy or failing, or the rate is spent
"""

from collections.abc import Sequence

from matinee_platform.service.answers import Fault, Problem
from matinee_policies.errors import MatineeError


class CallError(MatineeError):
    """A call did not succeed.

    Attributes:
        status: of HTTP; 0 if there was no answer.
        code: short name of the problem; empty if there was no answer.
        request_id: names the request in the lines of the service.
        faults: what is wrong at which place of the body.
        retry_after: seconds after which the service wants another try; None if it did not say.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int = 0,
        code: str = "",
        request_id: str = "",
        faults: Sequence[Fault] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.faults = tuple(faults)
        self.retry_after = retry_after


class RefusedError(CallError):
    """The request breaks a rule; another try changes nothing."""


class AccessError(CallError):
    """The API key is missing, unknown or not allowed to do this."""


class MissingError(CallError):
    """There is nothing under this name."""


class ContradictionError(CallError):
    """The id was used with another body, or the change is not possible now."""


class UnavailableError(CallError):
    """The service is away, busy or failing, or the rate of the key is spent."""


_BY_STATUS: dict[int, type[CallError]] = {
    401: AccessError,
    403: AccessError,
    404: MissingError,
    409: ContradictionError,
    429: UnavailableError,
}


def kind_of(status: int) -> type[CallError]:
    """The class of error of a status."""
    return _BY_STATUS.get(status, UnavailableError if status >= 500 else RefusedError)


def error_of(problem: Problem, *, retry_after: float | None = None) -> CallError:
    """The error that a problem is."""
    return kind_of(problem.status)(
        problem.detail,
        status=problem.status,
        code=problem.code,
        request_id=problem.request_id,
        faults=problem.faults,
        retry_after=retry_after,
    )
