"""The master secret: made once, read back, refused when it is weak or open to others."""

import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from matinee_platform.decision_keys import decision_keys
from matinee_platform.service.answers import DecisionAnswer
from matinee_platform.service.secrets import FILE_VARIABLE, Secrets
from matinee_platform.service.settings import ServiceSettings
from matinee_policies.errors import ConfigError


def settings(folder: Path, host: str = "127.0.0.1") -> ServiceSettings:
    return ServiceSettings.model_validate({"data_dir": folder, "host": host})


def test_a_secret_is_made_on_loopback_and_read_again(tmp_path: Path) -> None:
    made = Secrets.load(settings(tmp_path / "new"), environment={})
    path = tmp_path / "new" / "secret"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["secret"]
    again = Secrets.load(settings(tmp_path / "new"), environment={})
    assert made.pseudonyms == again.pseudonyms
    assert made.draws("e", "a") == again.draws("e", "a")


@pytest.mark.parametrize("links", [True, False])
def test_processes_that_start_together_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "there are no hard links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    found: list[bytes] = []

    def load() -> None:
        found.append(Secrets.load(settings(tmp_path), environment={}).tokens)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["secret"]


def test_elsewhere_a_secret_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="MATINEE_SECRET_FILE"):
        Secrets.load(settings(tmp_path, host="0.0.0.0"), environment={})  # noqa: S104
    file = tmp_path / "given"
    file.write_text("ab" * 32 + "\n")
    found = Secrets.load(
        settings(tmp_path, host="0.0.0.0"),  # noqa: S104
        environment={FILE_VARIABLE: str(file)},
    )
    assert found.tokens == Secrets(b"\xab" * 32).tokens
    assert not (tmp_path / "secret").exists()


@pytest.mark.parametrize(
    "text", ["", "ab" * 31, "ab" * 31 + "a", "zz" * 32, "\xe9" * 64, "ab cd" * 20]
)
def test_weak_or_broken_secrets_are_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    file = tmp_path / "given"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        Secrets.load(settings(tmp_path), environment={FILE_VARIABLE: str(file)})
    assert not text or text not in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Secrets.load(settings(tmp_path), environment={FILE_VARIABLE: str(tmp_path / "none")})


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    Secrets.load(settings(tmp_path), environment={})
    os.chmod(tmp_path / "secret", 0o640)  # noqa: PTH101
    with pytest.raises(ConfigError, match="chmod 600"):
        Secrets.load(settings(tmp_path), environment={})


def test_keys_differ_by_purpose_and_none_is_shown() -> None:
    secrets = Secrets(b"\x01" * 32)
    keys = {
        secrets.pseudonyms,
        secrets.decision_ids,
        secrets.digests,
        secrets.api_keys,
        secrets.tokens,
        secrets.draws("a", "b"),
        secrets.draws("a", "c"),
        *secrets.signing.secrets.values(),
    }
    assert len(keys) == 8
    assert b"\x01" * 32 not in keys
    shown = f"{secrets!r} {secrets} {secrets.signing!r}"
    assert not any(key.hex() in shown or repr(key) in shown for key in keys)
    with pytest.raises(ConfigError, match="at least 32"):
        Secrets(b"short")


def test_draws_follow_from_the_master_secret_alone() -> None:
    """Without it, whatever else is known of ids and of other keys, each bit is a toss of a coin."""
    secrets, other = Secrets(bytes(range(32))), Secrets(bytes(range(1, 33)))
    ids = np.arange(1_000, dtype=np.uint64)
    keys = decision_keys(secrets.draws("home", "new"), ids)
    guesses = [
        ids,
        decision_keys(bytes(16), ids),
        decision_keys(other.draws("home", "new"), ids),
        decision_keys(secrets.draws("home", "old"), ids),
        decision_keys(secrets.draws("shelf", "new"), ids),
        decision_keys(secrets.tokens[:16], ids),
        decision_keys(secrets.pseudonyms[:16], ids),
    ]
    for guess in guesses:
        assert not (guess == keys).any()
        equal = 1.0 - np.bitwise_count(guess ^ keys).mean() / 64.0
        # Four standard errors of 64,000 tosses.
        assert abs(equal - 0.5) < 4.0 * 0.5 / np.sqrt(64.0 * ids.size)
    told = {"decision_id", "experiment", "arm", "items", "propensities", "served_by", "snapshot"}
    assert set(DecisionAnswer.model_fields) == {*told, "token"}
