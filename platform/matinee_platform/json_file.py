"""Small JSON files that appear whole or not at all."""

import json
from pathlib import Path
from typing import Any

from matinee_policies.errors import DataError


def write_json(path: Path, content: Any) -> None:
    """Write a file, replacing an older one; NaN is refused."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def read_json(path: Path) -> Any:
    """Read a file.

    Raises:
        DataError: if it is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(path, rule=f"must be there to read ({error.strerror})") from None
    except ValueError as error:
        raise DataError(path, rule=f"must be JSON ({error})") from None
