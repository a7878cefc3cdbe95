import dataclasses

import pytest

from matinee_policies import POLICY_KINDS, Config, LinUCBConfig
from matinee_policies.config_docs import field_docs, first_line
from matinee_policies.registry import policy_types


@pytest.mark.parametrize("kind", POLICY_KINDS)
def test_every_setting_of_every_policy_is_documented(kind: str) -> None:
    policy, config_type = policy_types(kind)
    assert first_line(policy)
    docs = field_docs(config_type)
    assert list(docs) == [field.name for field in dataclasses.fields(config_type)]
    assert [name for name, text in docs.items() if not text] == []


def test_inherited_settings_keep_their_meaning_and_lines_are_joined() -> None:
    docs = field_docs(LinUCBConfig)
    assert docs["alpha"] == "Widths to add to the prediction, at least 0."
    assert docs["caps"] == "Most items of one aspect or creator on a slate."
    assert "one per item; `hybrid`: both" in docs["form"]


def test_classes_without_source_or_docstrings_have_no_docs() -> None:
    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class PlainConfig(Config):
        a: int = 1
        b: int = 2
        """The second."""

    assert field_docs(PlainConfig) == {"a": "", "b": "The second."}
    made = dataclasses.make_dataclass("Made", [("a", int, 3)], bases=(Config,), frozen=True)
    assert field_docs(made) == {"a": ""}
    assert first_line(type("Bare", (), {})) == ""
