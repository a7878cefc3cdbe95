"""API keys and decision tokens: what opens, what does not, what is stored."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from matinee_platform.auth.api_keys import ApiKeys, Scope, UnknownKeyError
from matinee_platform.auth.decision_tokens import DecisionTokens
from matinee_platform.cli import app
from matinee_platform.clock import FakeClock
from matinee_platform.storage.audit_log import AuditLog
from matinee_platform.storage.control_database import control_url, open_engine, upgrade
from matinee_platform.storage.testing_control import injection_strings
from matinee_policies.errors import ConfigError

PEPPER = bytes(range(32))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    url = control_url(tmp_path_factory.mktemp("keys"), "sqlite")
    upgrade(url)
    engine = open_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def keys(engine: Engine, clock: FakeClock) -> ApiKeys:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM api_keys"))
    return ApiKeys(engine, pepper=PEPPER, clock=clock)


def test_a_key_opens_with_its_scopes(keys: ApiKeys, clock: FakeClock) -> None:
    assert keys.ring().empty
    key, shown = keys.create("shop", ["decide", "reward"], who="ada")
    ring = keys.ring()
    assert not ring.empty
    assert ring.identify(shown, now_ms=clock.now_ms()) == key
    assert key.scopes == {Scope.DECIDE, Scope.REWARD}
    assert "admin" not in key.scopes
    assert "decide" in key.scopes
    # 256 bits, new each time.
    assert len(shown.split("_")[2]) == 64
    assert keys.create("shop", ["decide"], who="ada")[1] != shown


def test_whatever_is_not_the_key_opens_nothing(keys: ApiKeys, clock: FakeClock) -> None:
    _, shown = keys.create("shop", ["admin"], who="ada")
    _, other = keys.create("other", ["admin"], who="ada")
    ring, now_ms = keys.ring(), clock.now_ms()
    mixed = "_".join([*shown.split("_")[:2], other.split("_")[2]])
    wrong = ["", shown[:-1], shown + "0", shown.upper(), f" {shown}", f"{shown}\n", mixed]
    wrong += [f"mtn_{secrets.token_hex(8)}_{secrets.token_hex(32)}" for _ in range(1_000)]
    wrong += [f"mtn_{shown.split('_')[1]}_{secrets.token_hex(32)}" for _ in range(1_000)]
    wrong += [*injection_strings(), "\ud800", "mtn_\0"]
    for place in range(4, len(shown)):
        digit = "0" if shown[place] != "0" else "1"
        wrong.append(shown[:place] + digit + shown[place + 1 :])
    assert [one for one in wrong if ring.identify(one, now_ms=now_ms)] == []
    stranger = ApiKeys(keys._engine, pepper=bytes(32), clock=clock).ring()
    assert stranger.identify(shown, now_ms=now_ms) is None


def test_nothing_secret_is_stored(keys: ApiKeys, engine: Engine, clock: FakeClock) -> None:
    _, shown = keys.create("shop", ["admin"], who="ada")
    secret = shown.split("_")[2]
    with engine.connect() as connection:
        stored = repr(list(connection.execute(text("SELECT * FROM api_keys"))))
    stored += repr(AuditLog(engine, clock=clock).entries())
    assert secret not in stored
    assert repr(bytes.fromhex(secret))[2:-1] not in stored
    assert secret not in repr(keys.all())
    assert shown not in repr(keys.ring().__dict__)


def test_rotation_overlaps(keys: ApiKeys, clock: FakeClock) -> None:
    old, first = keys.create("shop", ["decide"], who="ada")
    new, second = keys.rotate(old.key_id, who="bo", overlap_days=2)
    assert (new.name, new.scopes) == (old.name, old.scopes)
    ring = keys.ring()
    for advance, opens in ((0, True), (2 * 86_400 - 0.001, True), (0.001, False)):
        clock.advance(seconds=advance)
        assert (ring.identify(first, now_ms=clock.now_ms()) is not None) == opens
        assert ring.identify(second, now_ms=clock.now_ms()) == new
    with pytest.raises(UnknownKeyError, match=old.key_id):
        keys.rotate(old.key_id, who="bo")


def test_a_key_that_ends_is_replaced_by_one_that_ends(keys: ApiKeys, clock: FakeClock) -> None:
    old, _ = keys.create("shop", ["decide"], who="ada", days=90)
    clock.advance(seconds=80 * 86_400)
    new, _ = keys.rotate(old.key_id, who="bo", overlap_days=1)
    assert new.expires_at == clock.now_ms() + 90 * 86_400_000
    # Also the one that is over soon because it was replaced before.
    again, _ = keys.rotate(old.key_id, who="bo", overlap_days=1)
    assert again.expires_at == new.expires_at
    forever, _ = keys.create("shop", ["decide"], who="ada")
    keys.rotate(forever.key_id, who="bo")
    assert keys.rotate(forever.key_id, who="bo")[0].expires_at is None


def test_expiry_and_revocation(keys: ApiKeys, clock: FakeClock, engine: Engine) -> None:
    short, first = keys.create("short", ["read"], who="ada", days=0.5)
    gone, second = keys.create("gone", ["read"], who="ada")
    assert keys.revoke(gone.key_id, who="bo").revoked_at == clock.now_ms()
    ring = keys.ring()
    assert ring.identify(first, now_ms=clock.now_ms()) == short
    assert ring.identify(second, now_ms=clock.now_ms()) is None
    clock.advance(seconds=43_200)
    assert ring.identify(first, now_ms=clock.now_ms()) is None
    # Nobody is let in because all keys are over.
    assert not ring.empty
    last, _ = keys.create("last", ["read"], who="ada")
    keys.revoke(last.key_id, who="bo")
    assert not keys.ring().empty
    with pytest.raises(UnknownKeyError):
        keys.revoke(gone.key_id, who="bo")
    told = AuditLog(engine, clock=clock).entries(subject=gone.key_id)
    assert [(one.who, one.action) for one in told] == [
        ("ada", "api_key.create"),
        ("bo", "api_key.revoke"),
    ]


def test_bad_keys_are_refused(keys: ApiKeys, engine: Engine) -> None:
    for scopes in ([], ["root"], ["decide", "Admin"]):
        with pytest.raises(ConfigError, match="scope"):
            keys.create("shop", scopes, who="ada")
    for days in (-1.0, float("nan"), 1e9):
        with pytest.raises(ConfigError, match="days"):
            keys.create("shop", ["read"], who="ada", days=days)
    for name in ("", "x" * 201, "nul\0"):
        with pytest.raises(ConfigError, match="name of a key"):
            keys.create(name, ["read"], who="ada")
    with pytest.raises(ConfigError, match="pepper"):
        ApiKeys(engine, pepper=b"short", clock=FakeClock())
    assert keys.all() == []


def test_names_are_text(keys: ApiKeys) -> None:
    names = injection_strings()[::10]
    for name in names:
        keys.create(name, ["read"], who=name)
    assert sorted(key.name for key in keys.all()) == sorted(names)


def test_forged_tokens_are_refused() -> None:
    tokens, others = DecisionTokens(PEPPER), DecisionTokens(bytes(32))
    now_ms, rng = 1_767_225_600_000, np.random.default_rng(3)
    accepted = 0
    for number in range(1_000):
        decision_id = int(rng.integers(2**64, dtype=np.uint64))
        token = tokens.sign(decision_id, expires_ms=now_ms + number)
        assert tokens.valid(token, decision_id=decision_id, now_ms=now_ms)
        place = int(rng.integers(len(token)))
        sign = "A" if token[place] != "A" else "B"
        forged = [
            token[:place] + sign + token[place + 1 :],
            secrets.token_urlsafe(40),
            others.sign(decision_id, expires_ms=now_ms + number),
            tokens.sign(decision_id ^ 1, expires_ms=now_ms + number),
            tokens.sign(decision_id, expires_ms=now_ms - 1),
        ]
        accepted += sum(tokens.valid(one, decision_id=decision_id, now_ms=now_ms) for one in forged)
    assert accepted == 0


def test_any_text_may_be_presented_as_a_token() -> None:
    tokens = DecisionTokens(PEPPER)
    token = tokens.sign(0, expires_ms=2**40)
    spellings = [f"{token}=", f"{token}==", f"{token}\n", token.swapcase(), token[:-1], ""]
    # The last character has bits to spare: other spellings of the same bytes.
    signs = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/"
    spellings += [token[:-1] + sign for sign in signs if sign != token[-1]]
    for wrong in [*spellings, *injection_strings(), "\ud800", "é" * 54, "\0"]:
        assert not tokens.valid(wrong, decision_id=0, now_ms=0)
    assert tokens.valid(token, decision_id=0, now_ms=0)
    with pytest.raises(ConfigError, match="32 bytes, got 31"):
        DecisionTokens(bytes(31))


def test_commands(tmp_path: Path) -> None:
    def run(*words: str) -> str:
        result = CliRunner().invoke(app, ["keys", *words, "--data-dir", str(tmp_path)])
        assert result.exit_code == 0, result.output
        return result.stdout

    assert "loopback only" in run("list")
    shown = run("create", "shop", "--scope", "decide", "--days", "3").strip()
    made = json.loads(run("create", "other", "--scope", "admin", "--json"))
    assert made["scopes"] == ["admin"]
    key_id = shown.split("_")[1]
    replaced = run("rotate", key_id).strip()
    run("revoke", made["id"])
    listed = {one["id"]: one for one in json.loads(run("list", "--json"))}
    assert {one["state"] for one in listed.values()} == {"active", "revoked"}
    assert listed[made["id"]]["state"] == "revoked"
    assert listed[key_id]["expires_at"] is not None
    output = run("list")
    for secret in (shown, replaced, made["key"]):
        assert secret not in output
        assert secret.split("_")[2] not in output
    missing = CliRunner().invoke(app, ["keys", "list", "--data-dir", str(tmp_path / "nowhere")])
    assert isinstance(missing.exception, ConfigError)
