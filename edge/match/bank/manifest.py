"""A bank's manifest: the operators' settings, the list of segments, and the marked entries.

It is JSON with a checksum over its content. Every change replaces it atomically.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.domain import BankSeverity
from edge.errors import BankError, InvalidInput, LimitExceeded, NotFound
from edge.match.bank.array_file import replace_file
from edge.match.entry import BankPurpose
from edge.settings_file import open_regular

SUFFIX = ".bank"
FORMAT = 1
MAX_MANIFEST_BYTES = 32 * 1024 * 1024
MAX_MARKED = 200_000
MAX_SEGMENTS = 256
LOCAL_CHECKPOINT = "fleet "
"""Beginning of the names of checkpoints that concern one gate's folder alone."""
CHANGED_BY = f"{LOCAL_CHECKPOINT}changed by"
"""Checkpoint that says who added or removed entries last."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

Text = Annotated[str, Field(max_length=1024)]
Ids = Annotated[tuple[Annotated[str, Field(max_length=128)], ...], Field(max_length=MAX_MARKED)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BankInfo(_Model):
    """The settings that operators make for a bank."""

    opinion: BankPurpose = BankPurpose.VIOLATING
    severity: BankSeverity = BankSeverity.HIGH
    label: str = Field(
        "known_footage", min_length=1, max_length=64, description="Category of the bank's entries."
    )
    source: Text = ""
    note: Text = ""
    enabled: bool = True
    enabled_ratio: float = Field(
        1.0, ge=0.0, le=1.0, description="Share of entries in use, chosen by entry id, for a gradual start."
    )
    runaway_streams: int = Field(
        100,
        ge=0,
        description="An entry that matches more streams than this within ten minutes is quarantined; "
        "0 means never, for footage that spreads in waves.",
    )
    expires_ms: int | None = Field(
        None, ge=0, description="Wall time after which the bank no longer matches."
    )


class SegmentName(_Model):
    file: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,127}\.seg$")]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    hashes: Annotated[int, Field(ge=0)]
    entries: Annotated[int, Field(ge=0)]
    removed: Ids = ()
    """Removed entries of this segment. Another segment may have a new entry with the same id."""


class BankManifest(_Model):
    name: str
    info: BankInfo = BankInfo()
    generation: int = Field(0, ge=0)
    segments: tuple[SegmentName, ...] = Field((), max_length=MAX_SEGMENTS)
    disabled: Ids = ()
    quarantined: Ids = ()
    """Runaway entries. A match with one asks for a review, not for a cut."""
    checkpoints: dict[Annotated[str, Field(max_length=256)], Text] = Field({}, max_length=256)
    """How far each import source has been read."""
    entries_removed: int = Field(0, ge=0)
    """Entries that changes on record have taken out since the bank was made."""
    hashes_removed: int = Field(0, ge=0)
    accepted_ms: int = Field(0, ge=0)
    """Wall time at which an operator said that what is gone by then is meant to be gone."""

    @property
    def entries(self) -> int:
        """Number of entries that are not removed. Disabled entries count."""
        return sum(s.entries - len(s.removed) for s in self.segments)

    @property
    def hashes(self) -> int:
        return sum(s.hashes for s in self.segments)


def unexplained_loss(before: BankManifest, after: BankManifest | None) -> str:
    """Says what a bank has lost from one state to a later one without a removal on record. Empty if nothing.

    Each change counts what it removes, so entries and removed entries together never fall. They fall when
    the later state is an older copy, or another bank of that name. None: there is no such bank any more.
    """
    if after is None:
        entries, hashes = before.entries, before.hashes
    elif after.accepted_ms > before.accepted_ms:
        return ""
    else:
        entries = before.entries + before.entries_removed - after.entries - after.entries_removed
        hashes = before.hashes + before.hashes_removed - after.hashes - after.hashes_removed
    if entries <= 0 and hashes <= 0:
        return ""
    return f"{max(entries, 0)} entries and {max(hashes, 0)} hashes fewer"


def bank_info(**fields: Any) -> BankInfo:
    """Returns validated settings. Raises InvalidInput, which names the first wrong field."""
    try:
        return BankInfo.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidInput(f"bank.{'.'.join(map(str, first['loc']))}", first["msg"]) from None


def bank_path(path: Path) -> Path:
    """Returns ``DIR/NAME.bank`` for ``DIR/NAME``. Raises InvalidInput for an invalid name."""
    name = path.name.removesuffix(SUFFIX)
    if not _NAME.fullmatch(name):
        raise InvalidInput("bank name", f"{name[:80]!r}: 1 to 64 of a-z 0-9 . _ -, starting with a-z or 0-9")
    return path.with_name(name + SUFFIX)


def bank_files(directory: Path) -> list[Path]:
    """Returns what is called a manifest in a directory, sorted by name. Empty without such a directory.

    Also a pipe, a folder and a link to nothing are returned: who reads them says what is wrong. Raises
    BankError when the directory cannot be read.
    """
    try:
        with os.scandir(directory) as found:
            return sorted(Path(entry.path) for entry in found if entry.name.endswith(SUFFIX))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BankError(f"{directory}: {error.strerror or error}") from None


def read_manifest(path: Path) -> tuple[BankManifest, str]:
    """Returns a manifest and its digest.

    Raises NotFound, and BankError when the manifest is torn, foreign or of another version.
    """
    try:
        with open_regular(path) as file:
            text = file.read(MAX_MANIFEST_BYTES + 1)
    except FileNotFoundError:
        raise NotFound("bank", str(path)) from None
    except OSError as error:
        raise BankError(f"{path}: {error.strerror or error}") from None
    if len(text) > MAX_MANIFEST_BYTES:
        raise BankError(f"{path}: manifest is over the limit of {MAX_MANIFEST_BYTES} bytes")
    try:
        document = json.loads(text)
        version, stated, bank = document["edge_gate_bank"], document["sha256"], document["bank"]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise BankError(f"{path}: not a bank manifest, or a torn one") from None
    if version != FORMAT:
        raise BankError(f"{path}: format version {version}; this edge-gate reads version {FORMAT}")
    digest = hashlib.sha256(_canonical(bank)).hexdigest()
    if digest != stated:
        raise BankError(f"{path}: damaged manifest (checksum differs)")
    try:
        manifest = BankManifest.model_validate(bank)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BankError(f"{path}: {place}: {first['msg']}") from None
    if manifest.name != path.name.removesuffix(SUFFIX):
        raise BankError(
            f"{path}: is the manifest of a bank named {manifest.name!r}; export and import to rename"
        )
    return manifest, digest


def write_manifest(path: Path, manifest: BankManifest) -> None:
    bank = manifest.model_dump(mode="json")
    digest = hashlib.sha256(_canonical(bank)).hexdigest()
    text = json.dumps({"edge_gate_bank": FORMAT, "sha256": digest, "bank": bank}, indent=1).encode()
    if len(text) > MAX_MANIFEST_BYTES:
        raise LimitExceeded(f"bank {manifest.name} manifest", MAX_MANIFEST_BYTES, len(text), "bytes")
    replace_file(path, lambda out: out.write(text))


def _canonical(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
