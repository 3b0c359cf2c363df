"""One bank at one gate: what its folder has now, and what the fleet had in common by the gate's knowledge.

The common state is a bank too, in a folder of the gate's own. Its segments are links to those of the folder.
Its manifest says how far it has come in the bank's line of changes. Every change goes to the folder first:
where the gate goes down in between, the change comes again, and has been made in the folder already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from edge.durable_files import link_file
from edge.errors import BankError, NotFound
from edge.fleet_banks.merging import UNKNOWN, Addition, addition, value_after
from edge.ledger.bank_changes import BankPosition
from edge.match import Bank, BankInfo, Existing, Footage, Withdrawal, bank_info
from edge.match.bank.array_file import verify_file
from edge.match.bank.bank_difference import (
    MARKS,
    BankDifference,
    MarkChange,
    bank_difference,
    codes_left,
    parts_of,
    plain_codes,
)
from edge.match.bank.manifest import LOCAL_CHECKPOINT, SUFFIX, BankManifest, SegmentName, write_manifest
from edge.match.bank.mark_notes import THE_BANK, MarkNote
from edge.match.bank.segment import Segment
from edge.match.bank.segment_builder import SegmentBuilder
from edge.match.index.hamming import Codes

_POSITION: Final = f"{LOCAL_CHECKPOINT}position"
_DELETED: Final = f"{LOCAL_CHECKPOINT}deleted"
_SETTLED: Final = f"{LOCAL_CHECKPOINT}settled"
"""Checkpoint with what the folder counted when both states were one. Such counts never fall by themselves."""


class GateBank:
    """Blocking, and used by one thread. Methods raise BankError, and OSError for a disk."""

    def __init__(self, name: str, folder: Path, common_folder: Path) -> None:
        self.name = name
        self._path = folder / f"{name}{SUFFIX}"
        self._common_path = common_folder / f"{name}{SUFFIX}"
        self._here: Bank | None = None
        self._common: Bank | None = None
        self.look()

    def look(self) -> None:
        """Reads both states anew."""
        self._here = _opened(self._path, self._here)
        self._common = _opened(self._common_path, self._common)

    @property
    def position(self) -> BankPosition:
        """How far this gate has taken in the bank's line of changes."""
        if self._common is None:
            return BankPosition()
        number, _, digest = self._common.manifest.checkpoints.get(_POSITION, "0 ").partition(" ")
        return BankPosition(int(number), digest)

    @property
    def here(self) -> Bank | None:
        return self._here

    @property
    def common(self) -> Bank | None:
        """None: this gate knows nothing of the fleet's, or knows that it was deleted."""
        common = self._common
        return None if common is None or _DELETED in common.manifest.checkpoints else common

    @property
    def lost(self) -> bool:
        """Whether the folder has lost entries that nobody has removed on record."""
        common = self.common
        if common is None:
            return False
        if self._here is None:
            return common.manifest.entries > 0
        settled = common.manifest.checkpoints.get(_SETTLED)
        if settled is None:
            return False
        accepted_ms, *had = map(int, settled.split())
        manifest = self._here.manifest
        return manifest.accepted_ms == accepted_ms and any(map(int.__lt__, _ever(manifest), had))

    @property
    def deleted_here(self) -> bool:
        """Whether the bank was deleted from the folder, when it was empty."""
        return self._here is None and self.common is not None and not self.lost

    def forget(self) -> None:
        """Takes in all from the beginning, as a new gate does. What the folder has stays, and is told."""
        self._common_path.unlink(missing_ok=True)
        self._common = None

    def difference(self) -> BankDifference | None:
        """What this gate has to tell. None: there is no bank in the folder."""
        return None if self._here is None else bank_difference(self.common, self._here, LOCAL_CHECKPOINT)

    def settle(self, position: BankPosition) -> None:
        """Says that the folder, as it was looked at last, is what all have in common at this place."""
        assert self._here is not None
        manifest, names = self._here.manifest, []
        self._common_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for segment, name in parts_of(self._here):
            file = f"{self.name}-{name.digest[:40]}.seg"
            path = self._common_path.with_name(file)
            if not path.exists():
                link_file(segment.path, path)
            if verify_file(path, every_byte=False) != name.digest:
                raise BankError(f"{path}: not the segment that the manifest names (digest differs)")
            names.append(name.model_copy(update={"file": file}))
        counted = " ".join(map(str, (manifest.accepted_ms, *_ever(manifest))))
        checkpoints = {**manifest.checkpoints, **_at(position), _SETTLED: counted}
        settled = manifest.model_copy(update={"segments": tuple(names), "checkpoints": checkpoints})
        if self._common is None or settled != self._common.manifest:
            write_manifest(self._common_path, settled)
            self._common = _opened(self._common_path, self._common)

    def pass_over(self, position: BankPosition) -> None:
        """Goes on behind a change without an effect here."""
        self._made_common().amend(lambda manifest: {"checkpoints": {**manifest.checkpoints, **_at(position)}})

    def take_settings(
        self, said: Mapping[str, Any], note: MarkNote | None, position: BankPosition | None
    ) -> None:
        """Raises InvalidInput for settings that this version does not know."""
        before = None if self.common is None else self.common.info.model_dump(mode="json")
        known = {name: value for name, value in said.items() if name in BankInfo.model_fields}
        common = bank_info(**((before or {}) | known))

        def here(manifest: BankManifest) -> Mapping[str, Any]:
            info = manifest.info.model_dump(mode="json")
            for name, value in known.items():
                info[name] = value_after(info[name], UNKNOWN if before is None else before[name], value)
            return {"info": bank_info(**info)}

        self._made_here(common).amend(here, {THE_BANK: note} if "enabled" in known else None)
        self._made_common().amend(_with(position, {"info": common}))

    def take_checkpoints(self, said: Mapping[str, str], position: BankPosition | None) -> None:
        before = None if self.common is None else self.common.manifest.checkpoints

        def here(manifest: BankManifest) -> Mapping[str, Any]:
            points = dict(manifest.checkpoints)
            for name, value in said.items():
                common = UNKNOWN if before is None else before.get(name)
                kept = value_after(points.get(name), common, value)
                if kept is not None:
                    points[name] = kept
            return {"checkpoints": points}

        self._made_here().amend(here)
        self._made_common().amend(
            lambda manifest: {"checkpoints": {**manifest.checkpoints, **said, **_at(position)}}
        )

    def take_marks(
        self, marks: Iterable[MarkChange], notes: Mapping[str, MarkNote | None], position: BankPosition | None
    ) -> None:
        """Entries that the bank does not have are left out."""
        wanted = [mark for mark in marks if mark.mark in MARKS]
        common = self._made_common()
        before = {name: frozenset(getattr(common.manifest, name)) for name in MARKS}

        def marked(bank: Bank, manifest: BankManifest, *, ours: bool) -> Mapping[str, Any]:
            now = {name: set(getattr(manifest, name)) for name in MARKS}
            for mark in wanted:
                if not bank.has(mark.entry):
                    continue
                has = mark.entry in now[mark.mark]
                had = has if ours else mark.entry in before[mark.mark]
                (now[mark.mark].add if value_after(has, had, mark.on) else now[mark.mark].discard)(mark.entry)
            return {name: tuple(sorted(ids)) for name, ids in now.items()}

        bank = self._made_here()
        bank.amend(lambda manifest: marked(bank, manifest, ours=False), notes)
        common.amend(
            lambda manifest: {
                **marked(common, manifest, ours=True),
                "checkpoints": {**manifest.checkpoints, **_at(position)},
            }
        )

    def take_withdrawn(self, ids: Iterable[str], position: BankPosition | None) -> None:
        gone = [Withdrawal(entry_id) for entry_id in ids]
        self._made_here().update(gone)
        self._made_common().update(gone, checkpoints=lambda: _at(position))

    def take_segment(self, segment: Segment, name: SegmentName, position: BankPosition | None) -> None:
        """Takes in a segment, of which every byte has been verified, without the entries removed of it."""
        here, common = self._made_here(), self._made_common()
        scratch = self._common_path.with_name(f".{self.name}.taken.seg.part")
        _take_into(here, segment, name, common, scratch, {})
        _take_into(common, segment, name, None, scratch, _at(position))

    def take_deletion(self, position: BankPosition) -> None:
        """Deletes the bank where it is empty. What this gate has yet to tell makes it anew."""
        if self._here is not None:
            self._here.delete_empty()
        self.note_deletion(position)

    def note_deletion(self, position: BankPosition) -> None:
        points = {**_at(position), _DELETED: "yes"}
        self._common_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_manifest(self._common_path, BankManifest(name=self.name, checkpoints=points))
        self.look()

    def _made_here(self, info: BankInfo | None = None) -> Bank:
        if self._here is None:
            self._here = Bank.create(self._path, info)
        return self._here

    def _made_common(self) -> Bank:
        if self.common is None:
            if self._common is not None:
                self._common_path.unlink()
            self._common = Bank.create(self._common_path)
        assert self._common is not None
        return self._common


def _take_into(
    bank: Bank,
    segment: Segment,
    name: SegmentName,
    common: Bank | None,
    scratch: Path,
    checkpoints: Mapping[str, str],
) -> None:
    """``common`` is the fleet's state, where ``bank`` is what the folder has."""
    others = [bank] if common is None else [bank, common]

    def fits() -> bool:
        return not any(_share_entries(segment, each) for each in others)

    if any(part.digest == name.digest and not part.removed for part in bank.manifest.segments):
        _pass(bank, checkpoints)
    elif bank.adopt(segment.path, name, fits, checkpoints):
        return
    elif segment.plain and all(part.plain for each in others for part in each.segments):
        codes = plain_codes([(segment, name)])
        for each in others:
            codes = codes_left(codes, plain_codes(parts_of(each)))
        if len(codes):
            _adopt_codes(bank, codes, scratch, checkpoints)
        else:
            _pass(bank, checkpoints)
    else:
        removed = frozenset(name.removed)

        def taken(item: Footage) -> bool:
            here = bank.has(item.entry.id)
            had = here if common is None else common.has(item.entry.id)
            return addition(common=had, here=here) is not Addition.NOTHING

        bank.update(
            (item for item in segment.footage() if item.entry.id not in removed and taken(item)),
            existing=Existing.REPLACE,
            checkpoints=lambda: checkpoints,
        )


def _adopt_codes(bank: Bank, codes: Codes, scratch: Path, checkpoints: Mapping[str, str]) -> None:
    builder = SegmentBuilder()
    builder.add_plain(codes.tobytes())
    try:
        digest = builder.write_to(scratch)
        name = SegmentName(file="codes.seg", digest=digest, hashes=len(codes), entries=len(codes))
        bank.adopt(scratch, name, checkpoints=checkpoints)
    finally:
        scratch.unlink(missing_ok=True)


def _pass(bank: Bank, checkpoints: Mapping[str, str]) -> None:
    bank.amend(lambda manifest: {"checkpoints": {**manifest.checkpoints, **checkpoints}})


def _share_entries(segment: Segment, bank: Bank) -> bool:
    """Whether any entry of a segment has the id of one of the bank."""
    if not bank.segments:
        return False
    if segment.plain:
        return any(bool(part.entries_named(segment.codes).any()) for part in bank.segments if part.entries)
    return any(bank.has(entry.id) for entry in segment.all_entries())


def _opened(path: Path, before: Bank | None) -> Bank | None:
    try:
        return Bank.open(path, verify=False, known=() if before is None else before.segments)
    except NotFound:
        return None


def _ever(manifest: BankManifest) -> tuple[int, int]:
    """How many entries and hashes the bank has ever had."""
    return manifest.entries + manifest.entries_removed, manifest.hashes + manifest.hashes_removed


def _at(position: BankPosition | None) -> dict[str, str]:
    return {} if position is None else {_POSITION: f"{position.number} {position.digest}"}


def _with(
    position: BankPosition | None, fields: Mapping[str, Any]
) -> Callable[[BankManifest], Mapping[str, Any]]:
    return lambda manifest: {**fields, "checkpoints": {**manifest.checkpoints, **_at(position)}}
