from pathlib import Path

import pytest

from matinee_platform.settings import ExperimentSettings, load_settings, parse_settings
from matinee_policies.errors import ConfigError

MINIMAL = """
name: small
arms:
  - {name: a, weight: 0.5, policy: {kind: uniform}}
  - {name: b, weight: 0.5, policy: {kind: lin_ucb, alpha: 0.5}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text(MINIMAL, encoding="utf-8")
    return path


def test_first_arm_is_the_control_unless_named(config: Path) -> None:
    assert load_settings(config).control == "a"
    assert load_settings(config, ["control=b"]).control == "b"


def test_settings_survive_json(config: Path) -> None:
    settings = load_settings(config)
    assert ExperimentSettings.model_validate_json(settings.model_dump_json()) == settings


def test_overrides_reach_list_entries_by_name_and_by_index(config: Path) -> None:
    settings = load_settings(
        config, ["arms.b.policy.alpha=2.5", "arms.0.weight=0.25", "arms.b.weight=0.75"]
    )
    assert settings.arm("b").policy["alpha"] == 2.5
    assert [arm.weight for arm in settings.arms] == [0.25, 0.75]


def test_overrides_make_missing_sections(config: Path) -> None:
    assert load_settings(config, ["world.retention_sensitivity=0"]).world == {
        "retention_sensitivity": 0
    }


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("users=0", "users: Input should be greater than or equal to 1, got 0"),
        ("users=1.5", "users: Input should be a valid integer, got 1.5"),
        ("users=true", "users: Input should be a valid integer, got True"),
        ("days=.inf", "days: Input should be a valid integer, got inf"),
        ("colour=red", "colour: Extra inputs are not permitted, got 'red'"),
        ("arms.a.weight=0.6", "weights of the arms must sum to 1, got 1.1"),
        ("arms.a.weight=.nan", "got nan"),
        ("arms.a.name=b", "arm names must be distinct, got 'b' more than once"),
        ("arms.a.name='A B'", "got 'A B'"),
        ("arms.a.candidates=magic", "must be one of mf, popularity, got 'magic'"),
        ("arms.a.policy={}", "policy must name its kind, got {}"),
        ("arms.c.weight=1", "there is no entry 'c'; there are a, b"),
        ("arms=[]", "arms: List should have at least 1 item"),
        ("control=c", "control must be one of a, b, got 'c'"),
        ("slots=200", "slots: Input should be less than or equal to 100, got 200"),
        ("candidates=5", "candidates must be at least slots = 10, got 5"),
        ("reward.engagement.click=0.5", "click + watch must be at most 1"),
        ("reward.engagement.click=-2", "got -2"),
        ("users", "--set takes key=value, got 'users'"),
        ("users=[1", "--set users, line 1"),
        ("seed.deep=1", "'seed' is a plain value"),
    ],
)
def test_bad_override_names_the_value_and_the_rule(
    config: Path, override: str, complaint: str
) -> None:
    overrides = ["seed=1", override] if override.startswith("seed") else [override]
    with pytest.raises(ConfigError) as caught:
        load_settings(config, overrides)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "must hold a mapping of settings, got NoneType"),
        (b"- 1\n- 2\n", "must hold a mapping of settings, got list"),
        (b"name: [\n", "line 2"),
        (b"name: \xff\n", "must be UTF-8 text, byte 6 is not"),
        (b"name: x\n", "arms: Field required"),
        (b"!!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
    ],
)
def test_bad_file_is_refused_by_name(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert str(path) in str(caught.value)
    assert complaint in str(caught.value)


def test_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path / "absent.yaml")


def test_reference_arms_are_marked() -> None:
    settings = parse_settings(
        {
            "arms": [
                {"name": "real", "weight": 0.5, "policy": {"kind": "score_order"}},
                {"name": "oracle", "weight": 0.5, "policy": {"kind": "click_oracle"}},
            ]
        }
    )
    assert [arm.reference for arm in settings.arms] == [False, True]
