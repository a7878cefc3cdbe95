"""Signed snapshots: who may sign, what is refused, how keys change, and that none is told."""

import hashlib
import hmac
from pathlib import Path

import numpy as np
import pytest

from matinee_policies.errors import ConfigError, SnapshotError
from matinee_policies.snapshot import Snapshot
from matinee_policies.snapshot_file import read_signature
from matinee_policies.snapshot_signature import KEY_FILE_VARIABLE, KEYS_VARIABLE, SigningKeys

OLD = SigningKeys({"2026-05": b"o" * 32})
NEW = SigningKeys({"2026-11": b"n" * 40})
BOTH = SigningKeys({**NEW.secrets, **OLD.secrets})


def example(theta: float = 0.5) -> Snapshot:
    return Snapshot(kind="a", version=1, arrays={"theta": np.array([theta])}, manifest={"n": 1})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.npz"


def test_a_signed_snapshot_is_a_plain_npz_that_every_reader_reads(path: Path) -> None:
    example().save(path, keys=NEW)
    for keys in (None, NEW, BOTH):
        assert Snapshot.load(path, keys=keys).content_hash == example().content_hash
    with np.load(path, allow_pickle=False) as file:
        assert file["theta"].tolist() == [0.5]
    signature = read_signature(path)
    assert signature is not None
    assert signature.key_id == "2026-11"


def test_the_signature_is_the_hmac_of_all_before_it(path: Path) -> None:
    example().save(path, keys=NEW)
    content = path.read_bytes()
    body, mark, rest = content.rpartition(b"hmac-sha256 2026-11 ")
    text = b"matinee-snapshot-signature-1\n2026-11\n" + body
    assert rest[:64].decode() == hmac.new(b"n" * 40, text, hashlib.sha256).hexdigest()
    assert rest[64:] == b"\n" + hashlib.sha256(body + mark + rest[:65]).hexdigest().encode()


def test_saving_without_a_key_signs_nothing(path: Path) -> None:
    example().save(path)
    assert read_signature(path) is None
    with pytest.raises(SnapshotError, match=r"a\.npz must be signed, got no signature"):
        Snapshot.load(path, keys=NEW)


def test_unknown_and_wrong_keys_are_refused(path: Path) -> None:
    example().save(path, keys=OLD)
    with pytest.raises(SnapshotError, match="one of the keys 2026-11, got '2026-05'"):
        Snapshot.load(path, keys=NEW)
    impostor = SigningKeys({"2026-05": b"i" * 32})
    with pytest.raises(SnapshotError, match="is not that of key '2026-05'"):
        Snapshot.load(path, keys=impostor)


def test_keys_are_replaced_without_a_gap(path: Path) -> None:
    example().save(path, keys=OLD)
    assert Snapshot.load(path, keys=BOTH).manifest == {"n": 1}
    example().save(path, keys=BOTH)
    signature = read_signature(path)
    assert signature is not None
    assert signature.key_id == "2026-11"
    assert Snapshot.load(path, keys=NEW).manifest == {"n": 1}


def test_a_signature_cannot_be_moved_to_another_state(path: Path) -> None:
    """Sealed anew, as anyone can; only the key is missing."""
    example(0.5).save(path, keys=NEW)
    record = path.read_bytes()[-150:-64].partition(b"hmac")
    example(0.7).save(path, keys=NEW)
    content = path.read_bytes()[:-64]
    own = content[-150:].partition(b"hmac")
    forged = content[: -len(own[1] + own[2])] + record[1] + record[2]
    assert len(forged) == len(content) != 0
    path.write_bytes(forged + hashlib.sha256(forged).hexdigest().encode())
    assert Snapshot.load(path).arrays["theta"].tolist() == [0.7]
    with pytest.raises(SnapshotError, match="is not that of key"):
        Snapshot.load(path, keys=NEW)


def test_renaming_the_key_or_cutting_the_signature_off_does_not_help(path: Path) -> None:
    example().save(path, keys=NEW)
    signed = path.read_bytes()[:-64]
    renamed = signed.replace(b"hmac-sha256 2026-11", b"hmac-sha256 2026-12")
    cut = signed[: signed.rindex(b"hmac")]
    with_length = cut[:-2] + (64).to_bytes(2, "little")
    same_secret = SigningKeys({"2026-12": b"n" * 40, **NEW.secrets})
    for forged, message in (
        (renamed, "is not that of key '2026-12'"),
        (cut, "its end is missing"),
        (with_length, "must be signed, got no signature"),
    ):
        path.write_bytes(forged + hashlib.sha256(forged).hexdigest().encode())
        with pytest.raises(SnapshotError, match=message):
            Snapshot.load(path, keys=same_secret)


def test_every_changed_bit_of_a_signed_file_is_refused(path: Path) -> None:
    example().save(path, keys=NEW)
    content = path.read_bytes()
    random = np.random.default_rng(0)
    for place in (*random.integers(0, len(content), 150), *range(len(content) - 160, len(content))):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        for keys in (None, NEW):
            with pytest.raises(SnapshotError):
                Snapshot.load(path, keys=keys)


def test_keys_come_from_text_files_and_the_environment(tmp_path: Path) -> None:
    text = f"# the current one\nnew:{'ab' * 32}\nold:{'CD' * 33}  # until spring\n"
    file = tmp_path / "keys"
    file.write_text(text)
    expected = {"new": bytes.fromhex("ab" * 32), "old": bytes.fromhex("cd" * 33)}
    for keys in (
        SigningKeys.parse(text, origin="text"),
        SigningKeys.from_file(file),
        SigningKeys.configured({KEYS_VARIABLE: text}),
        SigningKeys.configured({KEYS_VARIABLE: f"new:{'ab' * 32} old:{'cd' * 33}"}),
        SigningKeys.configured({KEY_FILE_VARIABLE: str(file)}),
    ):
        assert keys is not None
        assert dict(keys.secrets) == expected
        assert keys.key_id == "new"
    assert SigningKeys.configured({}) is None


def test_bad_keys_are_refused_and_never_repeated(tmp_path: Path) -> None:
    secret = "5ec2e7" * 12
    bad = {
        f"new:{secret[:62]}": "'new' must have at least 32 bytes, got 31",
        f"new:{secret}x": "entry 1 must be ID:HEX-DIGITS",
        secret: "entry 1 must be ID:HEX-DIGITS",
        f"new:{secret} new:{secret}": "ids of keys must be distinct, entry 2 is not",
        f"{secret}:{secret}": "the id of a key must be letters",
        f"a/b:{secret}": "the id of a key must be letters",
        f"new:{secret} old:": "entry 2 must be ID:HEX-DIGITS",
        "": "there must be at least one key",
        "# nothing": "there must be at least one key",
    }
    for text, message in bad.items():
        with pytest.raises(ConfigError, match=message) as caught:
            SigningKeys.parse(text, origin="K")
        assert "5ec2e7" not in str(caught.value)
        assert str(caught.value).startswith("K: ")
    keys = SigningKeys.parse(f"new:{secret}", origin="K")
    assert repr(keys) == str(keys) == "SigningKeys('new')"
    with pytest.raises(ConfigError, match=f"key file {tmp_path / 'none'} cannot be read"):
        SigningKeys.from_file(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\x00")
    with pytest.raises(ConfigError, match="must be plain ASCII text"):
        SigningKeys.from_file(tmp_path / "binary")
    with pytest.raises(ConfigError, match="only one of"):
        SigningKeys.configured({KEYS_VARIABLE: f"a:{secret}", KEY_FILE_VARIABLE: "f"})
    with pytest.raises(ConfigError, match="there must be at least one key"):
        SigningKeys.configured({KEYS_VARIABLE: ""})
