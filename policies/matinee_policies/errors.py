"""Errors of the policies package.

    MatineeError
    ├── DataError        a file or a table breaks a rule of its format
    ├── ConfigError      a setting is out of its range, unknown or of the wrong type
    ├── ContextError     arrays handed to a policy or a source do not fit together
    └── SnapshotError    a stored state is damaged, foreign or of another version

Every message names the offending value and the rule it breaks. The platform and the simulator
raise the same classes, so that one `except MatineeError` at an edge catches what a user did wrong.
"""

from pathlib import Path


class MatineeError(Exception):
    """What a caller did wrong, in one sentence that a person can act on."""


class ConfigError(MatineeError):
    """A setting is unknown, of the wrong type or out of its range."""


class ContextError(MatineeError):
    """Arrays handed to a policy or a candidate source do not fit together."""


class SnapshotError(MatineeError):
    """A stored state cannot be restored: damaged, foreign or of another version."""


class DataError(MatineeError):
    """A data file breaks a rule.

    Args:
        path: the file.
        rule: what the file must satisfy, e.g. `"rating must be within 0.5 and 5.0"`.
        line: 1-based line within the uncompressed file, if one line is to blame.
        value: the offending value, if there is one.
    """

    def __init__(
        self, path: Path | str, *, rule: str, line: int | None = None, value: object = None
    ) -> None:
        self.path = Path(path)
        self.rule = rule
        self.line = line
        self.value = value
        where = f"{path}" if line is None else f"{path}, line {line}"
        got = "" if value is None else f", got {value!r}"
        super().__init__(f"{where}: {rule}{got}")
