"""`matinee snapshot`: look into snapshots, compare two, verify many."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from matinee_policies.snapshot import Snapshot
    from matinee_policies.snapshot_diff import SnapshotDiff
    from matinee_policies.snapshot_signature import SigningKeys

app = typer.Typer(help="Snapshots: look into one, compare two, verify many.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="FILE",
        help="Keys, ID:HEX a line; one must have signed. "
        "Default: MATINEE_SNAPSHOT_KEYS or MATINEE_SNAPSHOT_KEY_FILE.",
    ),
]


def _file(metavar: str, text: str) -> Any:
    return typer.Argument(metavar=metavar, help=text)


@app.command()
def inspect(
    file: Annotated[Path, _file("FILE", "A snapshot, e.g. RUN/snapshots/ARM/00007.npz.")],
    key: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Print what a snapshot holds: kind, manifest, arrays, content hash, signature.

    Example: matinee snapshot inspect runs/demo/snapshots/lin_ucb/00035.npz
    """
    keys = _keys(key)
    snapshot, signature = _load(file, keys), _signature(file, keys)
    facts = {
        "file": str(file),
        "kind": snapshot.kind,
        "version": snapshot.version,
        "content_hash": snapshot.content_hash,
        "signature": signature,
        "manifest": dict(snapshot.manifest),
        "arrays": _arrays(snapshot),
    }
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    print(f"{file}: {snapshot.kind}, version {snapshot.version}")
    print(f"content    {snapshot.content_hash}")
    print(f"signature  {_signature_text(signature)}")
    print("manifest")
    for name, value in snapshot.manifest.items():
        print(f"  {name}: {json.dumps(value)}")
    print("arrays")
    for name, array in _arrays(snapshot).items():
        low, high = array["low"], array["high"]
        span = "" if low is None else f", {low:.6g} to {high:.6g}"
        print(f"  {name}: {array['type']}{span}")


@app.command()
def diff(
    first: Annotated[Path, _file("FIRST", "The snapshot before.")],
    second: Annotated[Path, _file("SECOND", "The snapshot after.")],
    key: KeyFile = None,
    top: Annotated[
        int, typer.Option("--top", metavar="N", min=0, help="Coefficients to tell at most.")
    ] = 10,
    as_json: AsJson = False,
) -> None:
    """Print what differs between two snapshots: settings, arrays, coefficients by feature.

    Example: matinee snapshot diff runs/demo/snapshots/lin_ucb/00034.npz \
runs/demo/snapshots/lin_ucb/00035.npz
    """
    from matinee_policies.snapshot_diff import diff_snapshots

    keys = _keys(key)
    found = diff_snapshots(_load(first, keys), _load(second, keys), top=top)
    if as_json:
        print(json.dumps({"equal": found.equal, **asdict(found)}, indent=2))
        return
    for line in _diff_lines(found):
        print(line)


@app.command()
def verify(
    files: Annotated[list[Path], _file("FILE...", "Snapshots.")],
    key: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Check every file: undamaged, complete and, where keys are set, signed by one of them.

    All files are told; exit status 1 if any is bad. Example: matinee snapshot verify
    runs/demo/snapshots/*/*.npz
    """
    from matinee_policies.errors import SnapshotError

    keys = _keys(key)
    found: list[dict[str, Any]] = []
    for file in files:
        try:
            snapshot = _load(file, keys)
            found.append(
                {
                    "file": str(file),
                    "ok": True,
                    "content_hash": snapshot.content_hash,
                    "signature": _signature(file, keys),
                }
            )
        except SnapshotError as error:
            found.append({"file": str(file), "ok": False, "reason": str(error)})
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        for one in found:
            if one["ok"]:
                told = f"{one['content_hash']}, {_signature_text(one['signature'])}"
                print(f"{one['file']}: ok: {told}")
            else:
                print(f"{one['file']}: FAILED: {one['reason']}")
    if not all(one["ok"] for one in found):
        raise typer.Exit(1)


def _keys(file: Path | None) -> "SigningKeys | None":
    from matinee_policies.snapshot_signature import SigningKeys

    return SigningKeys.configured() if file is None else SigningKeys.from_file(file)


def _load(file: Path, keys: "SigningKeys | None") -> "Snapshot":
    from matinee_policies.snapshot import Snapshot

    return Snapshot.load(file, keys=keys)


def _signature(file: Path, keys: "SigningKeys | None") -> dict[str, Any] | None:
    """Who signed a file that was loaded with `keys`, and whether that was verified."""
    from matinee_policies.snapshot_file import read_signature

    found = read_signature(file)
    return None if found is None else {"key": found.key_id, "verified": keys is not None}


def _signature_text(signature: dict[str, Any] | None) -> str:
    if signature is None:
        return "unsigned"
    checked = "verified" if signature["verified"] else "not verified: no key is set"
    return f"signed by key {signature['key']}, {checked}"


def _arrays(snapshot: "Snapshot") -> dict[str, dict[str, Any]]:
    """Type, shape and range of each array; a range only where all numbers are finite."""
    import numpy as np

    from matinee_policies.snapshot_diff import array_type

    facts = {}
    for name, array in snapshot.arrays.items():
        told = array.size > 0 and bool(np.isfinite(array).all())
        facts[name] = {
            "type": array_type(array),
            "dtype": str(array.dtype),
            "shape": list(array.shape),
            "low": array.min().item() if told else None,
            "high": array.max().item() if told else None,
            "finite": bool(np.isfinite(array).all()),
        }
    return facts


def _diff_lines(found: "SnapshotDiff") -> Iterator[str]:
    if found.equal:
        yield "equal: the same content, to the last bit"
        return
    for field in found.fields:
        yield f"{field.name}: {json.dumps(field.before)} -> {json.dumps(field.after)}"
    for array in found.arrays:
        if array.entries is None:
            yield f"{array.name}: {array.before or 'none'} -> {array.after or 'none'}"
            continue
        size = ""
        if array.absolute is not None and array.relative is not None:
            size = f", at most {array.absolute:.3g} (relative {array.relative:.3g})"
        yield f"{array.name}: {array.after}: {array.entries:,} entries differ{size}"
    if found.coefficients:
        yield "coefficients, the largest changes first"
    width = max((len(one.owner) + len(one.feature) for one in found.coefficients), default=0)
    for one in found.coefficients:
        name = f"{one.owner} {one.feature}".ljust(width + 1)
        yield f"  {name}  {one.before:+.6f} -> {one.after:+.6f}  ({one.after - one.before:+.6f})"
    if found.more_coefficients:
        yield f"  and {found.more_coefficients:,} more"
