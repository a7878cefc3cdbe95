"""What the fields of a config mean, from the docstrings that stand below them in the source."""

import ast
import dataclasses
import inspect
import textwrap

from matinee_policies.config import Config


def field_docs(config_type: type[Config]) -> dict[str, str]:
    """Meaning of each field of a config, in the order of the fields; empty where none is written.

    Args:
        config_type: a class whose source can be read.

    Example:
        >>> from matinee_policies import Caps
        >>> field_docs(Caps)["creator"]
        'Most items of one creator; items whose creator is unknown are not capped.'
    """
    found: dict[str, str] = {}
    for part in reversed(config_type.__mro__):
        if issubclass(part, Config):
            found |= _docs_of(part)
    return {field.name: found.get(field.name, "") for field in dataclasses.fields(config_type)}


def first_line(documented: type) -> str:
    """First paragraph of a class's docstring on one line; empty if it has none."""
    return _one_line((inspect.getdoc(documented) or "").split("\n\n")[0])


def _docs_of(part: type) -> dict[str, str]:
    """Docstrings below the annotated names of one class's own body."""
    try:
        source = textwrap.dedent(inspect.getsource(part))
    except (OSError, TypeError):
        return {}
    (definition,) = ast.parse(source).body
    if not isinstance(definition, ast.ClassDef):
        return {}
    docs = {}
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            value = text.value if isinstance(text, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                docs[field.target.id] = _one_line(value.value)
    return docs


def _one_line(text: str) -> str:
    return " ".join(text.split())
