"""What a run ran on, the user's own modules included."""

import hashlib
import sys
from pathlib import Path

import pytest

from matinee_platform.versions import versions

SHOP = b"class Boltzmann:\n    pass\n"


def test_modules_of_the_user_are_added_by_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "versioned_shop.py").write_bytes(SHOP)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "versioned_shop", raising=False)
    plain = versions()
    assert plain["matinee"]
    assert versions(["lin_ucb"]) == plain
    assert versions(["lin_ucb", "versioned_shop:Boltzmann"]) == {
        **plain,
        "module versioned_shop": hashlib.sha256(SHOP).hexdigest(),
    }
