"""The gate's own bank: the stretch of a confirmed incident that the verdict rests on is known footage."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from edge.banking import LeftOutReason
from edge.domain import INCIDENT_BANK, BankSeverity
from edge.errors import AlreadyExists, BankError, GateError, NotFound
from edge.match.bank.bank import Bank
from edge.match.bank.bank_set import BankSet
from edge.match.bank.bank_update import Withdrawal
from edge.match.bank.manifest import BankInfo
from edge.match.bankable import SEEN_BITS, Seen, SeenAround, choose_frames
from edge.match.contained_fingerprint import fingerprint_contained
from edge.match.entry import BankPurpose, EntryKind, HashRun
from edge.match.index.hamming import MAX_RADIUS, codes_of, scan
from edge.match.index.multi_index import SCAN_UP_TO, ChunkIndex, build
from edge.match.pdq.hasher import PdqHash
from edge.match.recent_footage import MOST_UNSEEN_MS, RecentFootage, Shown
from edge.policy.guards import OWN
from edge.printable import printable

_GATE: Final = "gate"
"""Who banks and withdraws incidents."""
NICENESS: Final = 10
"""Niceness of the process that banks an incident. Judging live streams has priority."""


@dataclass(frozen=True, slots=True)
class Banked:
    """What of an incident is known footage now."""

    frames: int
    left_out: Mapping[LeftOutReason, int]


def bank_incident(
    directory: Path,
    incident_id: str,
    clip: Path,
    category: str,
    *,
    stretch_ms: tuple[int, int],
    calm_until_ms: int,
    added_ms: int,
    stream_id: str = "",
    begin_pts_ms: int = 0,
    recent: RecentFootage | None = None,
    note: str = "",
) -> Banked:
    """Adds a stretch of a confirmed incident's clip to the bank ``incidents`` of a directory of banks.

    ``stretch_ms`` and ``calm_until_ms`` are in the clip's own time, which begins at the media time
    ``begin_pts_ms`` of the stream. Nothing outside the stretch is banked, nor what ``choose_frames`` leaves
    out: still frames, and what the calm part of the clip, ``recent`` or a benign bank shows. The frame is
    banked as it is coded, because live streams are looked up as they are coded, without rotation. Audio is
    not banked: nobody remembers which audio was heard elsewhere.

    The entry has the incident's id. Nothing changes where no frame is left. Raises AlreadyExists when the
    incident is banked, and BrokenMedia or InvalidInput when nothing of the clip can be hashed. It decodes the
    whole clip. So do not call it in the thread that serves streams.
    """
    path = directory / INCIDENT_BANK
    if path.with_name(f"{INCIDENT_BANK}.bank").exists() and Bank.open(path).has(incident_id):
        raise AlreadyExists(f"bank {INCIDENT_BANK} has {incident_id} already")
    footage = fingerprint_contained(
        clip,
        entry_id=incident_id,
        label=category,
        note=note,
        added_ms=added_ms,
        stretch_ms=stretch_ms,
        min_quality=0,
        still_bits=-1,
        audio=False,
        as_coded=True,
    )
    elsewhere: SeenAround = _not_seen
    in_stream: SeenAround = _not_seen
    if recent is not None:
        elsewhere = _near(recent.of_others(stream_id, added_ms))
        shown_ms = begin_pts_ms + stretch_ms[0], begin_pts_ms + stretch_ms[1]
        # What the stream showed beside the clip is the same scene. What it showed long before may be the
        # same footage.
        end_pts_ms = begin_pts_ms + footage.entry.duration_ms
        same_scene_ms = begin_pts_ms - MOST_UNSEEN_MS, end_pts_ms + MOST_UNSEEN_MS
        in_stream = _near(recent.of_stream(stream_id, shown_ms, same_scene_ms))
    chosen = choose_frames(
        footage.hashes,
        stretch_ms,
        calm_until_ms,
        still_ms=footage.still_ms,
        elsewhere=elsewhere,
        benign=_benign(directory, added_ms),
        in_stream=in_stream,
    )
    if chosen.hashes:
        entry = replace(footage.entry, kind=EntryKind.VIDEO)
        _bank(path, category).add_footage([replace(footage, entry=entry, hashes=chosen.hashes)], _GATE)
    return Banked(chosen.frames, chosen.left_out)


def withdraw_incident(directory: Path, incident_id: str) -> bool:
    """Removes an incident that was overturned. Returns whether it was banked."""
    try:
        bank = Bank.open(directory / INCIDENT_BANK)
    except NotFound:
        return False
    return bank.has(incident_id) and bank.update([Withdrawal(incident_id)], by=_GATE).removed == 1


def _not_seen(run: HashRun) -> None:
    return None


def _near(shown: Shown) -> SeenAround:
    """Searches hashes that were seen."""
    codes = shown.codes
    index = None if len(codes) <= SCAN_UP_TO else ChunkIndex(codes, *build(codes))

    def seen(run: HashRun) -> tuple[int, int] | None:
        query = codes_of(run.bits)[0]
        hits = scan(codes, query, SEEN_BITS) if index is None else index.search(query, SEEN_BITS)
        if not len(hits.positions):
            return None
        return int(shown.before_ms[hits.positions].max()), int(shown.after_ms[hits.positions].max())

    return seen


def _benign(directory: Path, wall_ms: int) -> Seen:
    """Searches the benign banks of a directory."""
    banks = [
        opened
        for opened in BankSet().read_anew(directory, (), strict=False, verify=False).banks
        if opened.bank.info.opinion is BankPurpose.BENIGN and opened.usable(wall_ms)
    ]

    def seen(run: HashRun) -> bool:
        live = PdqHash(run.bits, run.bits, run.quality)
        code = codes_of(run.bits)[0]
        return any(opened.candidates(code, "", MAX_RADIUS, live)[0] for opened in banks)

    return seen


def _bank(path: Path, category: str) -> Bank:
    try:
        return Bank.open(path)
    except NotFound:
        info = BankInfo(
            label=category or "known_footage",
            severity=BankSeverity.HIGH,
            source=OWN,
        )
    try:
        return Bank.create(path, info)
    except AlreadyExists:
        return Bank.open(path)


def main(argv: list[str]) -> int:
    """Banks or withdraws one incident at a lower priority than the parent process.

    ``python -m edge.match.incident_bank add REQUEST``: prints what was banked as JSON
    ``python -m edge.match.incident_bank withdraw BANKS INCIDENT``: prints a line where it was banked

    Returns 75 (EX_TEMPFAIL) for what may go better later, and 1 for what does not.
    """
    os.nice(NICENESS)
    command, *rest = argv
    try:
        if command == "withdraw":
            if withdraw_incident(Path(rest[0]), rest[1]):
                print("withdrawn")
            return 0
        request = json.loads(rest[0])
        recent = RecentFootage.load(Path(request.pop("recent")))
        directory, clip = Path(request.pop("directory")), Path(request.pop("clip"))
        begin_ms, end_ms = request.pop("stretch_ms")
        # A gate that went down between banking it and saying so asks again.
        withdraw_incident(directory, request["incident_id"])
        banked = bank_incident(directory, clip=clip, stretch_ms=(begin_ms, end_ms), recent=recent, **request)
        print(json.dumps({"frames": banked.frames, "left_out": banked.left_out}))
    except (GateError, OSError) as error:
        print(printable(error), file=sys.stderr)
        return os.EX_TEMPFAIL if isinstance(error, (BankError, OSError)) else 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
