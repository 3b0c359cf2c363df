"""Decisions that neither the ledger nor the journal has taken yet, and the note that names them on disk.

They are in force in memory, and whoever made them tries again. The note is a file of fixed size whose space
is taken while there is some. It is written over in place, so a full disk refuses it no byte. A gate that is
killed with such decisions leaves their names behind.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import structlog

from edge.durable_files import write_file
from edge.errors import ConfigError
from edge.ledger.journal_entries import Entry, Marked, Opened, StreamCut, Violated
from edge.settings_file import read_settings_file
from edge.telemetry.records import DecisionLost, Record

_VIOLATION, _INCIDENT = "violation", "incident"
NOTE_BYTES: Final = 128 * 1024
MOST_HELD: Final = 20_000
"""Most decisions that are held beside violations. Violations are always held."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class UnwrittenDecision:
    """What people need in order to make a decision again."""

    what: str
    """``violation``, ``incident``, ``mark`` or ``stream_cut``."""
    subject: str
    """Id of the incident, or of the stream for a cut without one."""
    broadcaster: str
    app: str
    category: str
    blocked_until_ms: int
    """End of the longest block; 0 without a block."""
    wall_ms: int


class UnwrittenDecisions:
    """The decisions held in memory alone, by what they are about. Thread-safe. No method raises."""

    def __init__(self, note: Path, report: Callable[[Record], None] = lambda record: None) -> None:
        self._report = report
        self._held: dict[tuple[str, ...], Entry] = {}
        self._lock = threading.Lock()
        self._note = UnwrittenNote(note)
        self.missing: tuple[UnwrittenDecision, ...] = ()
        """Decisions that an earlier process took and never wrote, until a person removes the note."""

    def take_note(self, is_missing: Callable[[UnwrittenDecision], bool]) -> None:
        """Reads what an earlier process has left, and takes the space of the note."""
        self.missing = tuple(filter(is_missing, self._note.read()))
        self._write_note()

    def keep_note(self) -> None:
        """Makes the note again that a person has removed. What it named is then taken notice of."""
        if not os.path.lexists(self._note.path):
            self.missing = ()
            self._write_note()

    def hold(self, entry: Entry) -> None:
        key = key_of(entry)
        with self._lock:
            room = isinstance(entry, Violated) or len(self._held) < MOST_HELD
            if key in self._held:
                return
            if room:
                self._held[key] = entry
        if room:
            self._changed(entry)
        else:
            self._report(DecisionLost(**asdict(described(entry)), earlier_run=False))

    def written(self, entry: Entry) -> None:
        """Drops a decision that is on disk now."""
        if not self._held:
            return
        with self._lock:
            held = self._held.pop(key_of(entry), None)
        if held is not None:
            self._changed(held)

    def holds_incident(self, incident_id: str) -> bool:
        return any((what, incident_id) in self._held for what in (_VIOLATION, _INCIDENT))

    def __len__(self) -> int:
        return len(self._held)

    def entries(self) -> list[Entry]:
        """Oldest first."""
        with self._lock:
            return list(self._held.values())

    def _changed(self, entry: Entry) -> None:
        if isinstance(entry, Violated | Opened):
            self._write_note()

    def _write_note(self) -> None:
        held = (described(entry) for entry in self.entries() if isinstance(entry, Violated | Opened))
        try:
            self._note.prepare()
            self._note.write((*self.missing, *held))
        except OSError as error:
            log.warning("no note of unwritten decisions", error=str(error))


class UnwrittenNote:
    """The file that names them. It stays until a person removes it, once it has named any at a start."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[UnwrittenDecision, ...]:
        """Returns what the file names. Damaged lines are left out."""
        try:
            content = read_settings_file(self.path, NOTE_BYTES)
        except ConfigError:
            return ()
        found = []
        for line in content.decode("utf-8", "replace").splitlines():
            try:
                found.append(UnwrittenDecision(**json.loads(line)))
            except (ValueError, TypeError, RecursionError):
                continue
        return tuple(found)

    def prepare(self) -> None:
        """Takes the space of the file, unless it has it. Raises OSError."""
        try:
            if self.path.stat().st_size == NOTE_BYTES:
                return
        except FileNotFoundError:
            pass
        before = self.read()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_file(self.path, _content(before))

    def write(self, decisions: Iterable[UnwrittenDecision]) -> None:
        """Writes over the file in place. Those that do not fit are left out, the last ones first.

        Raises OSError.
        """
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if os.pwrite(descriptor, _content(decisions), 0) != NOTE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def described(entry: Entry) -> UnwrittenDecision:
    match entry:
        case Violated(violation):
            incident = violation.incident
            until_ms = max((block.until_ms for block in violation.blocks), default=0)
        case Opened(incident):
            until_ms = 0
        case Marked():
            return UnwrittenDecision("mark", entry.incident_id, "", "", entry.what, 0, entry.wall_ms)
        case StreamCut():
            publish = entry.publish
            return UnwrittenDecision(
                "stream_cut",
                entry.stream_id,
                publish.broadcaster,
                publish.app,
                entry.reason,
                0,
                entry.wall_ms,
            )
    what = "violation" if isinstance(entry, Violated) else "incident"
    publish, category = incident.publish, incident.verdict.category
    return UnwrittenDecision(
        what, incident.id, publish.broadcaster, publish.app, category, until_ms, incident.created_ms
    )


def key_of(entry: Entry) -> tuple[str, ...]:
    """What a decision is about: the same for the same decision made again."""
    about = described(entry)
    return (
        (about.what, about.subject, entry.what) if isinstance(entry, Marked) else (about.what, about.subject)
    )


def _content(decisions: Iterable[UnwrittenDecision]) -> bytes:
    content = b""
    for decision in decisions:
        line = json.dumps(asdict(decision)).encode() + b"\n"
        if len(content) + len(line) <= NOTE_BYTES - 1:
            content += line
    return content.ljust(NOTE_BYTES - 1) + b"\n"
