"""Types of known footage: bank entries, their hashes and audio, and the candidates that a query returns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

import numpy as np
import numpy.typing as npt

from edge.domain import Action, BankSeverity
from edge.errors import InvalidInput, LimitExceeded
from edge.match.pdq.hasher import HASH_BYTES

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]

MAX_ID = 128
MAX_LABEL = 64
MAX_NOTE = 1024
MAX_MEDIA_MS = 2**32 - 1
MAX_AUDIO_ITEMS = 1 << 18
"""Most chromaprint items of one entry: nine hours."""


class EntryKind(StrEnum):
    VIDEO = "video"
    IMAGE = "image"
    AUDIO = "sound"
    """A recording without video."""


class BankPurpose(StrEnum):
    """What a match with the bank means."""

    VIOLATING = "violating"
    BENIGN = "benign"
    """Intros, logos and test cards. A match suppresses violating matches that are no nearer."""
    INVESTIGATE = "investigate"
    """A match asks for a review, never for a cut."""
    COUNT = "count"
    """A match is counted. It changes nothing for the stream, and hides no other match."""

    def at_most(self, *, quarantined: bool) -> Action:
        """Returns the strongest action that a match may ask for. ``quarantined``: the entry is a runaway."""
        if self is BankPurpose.COUNT:
            return Action.PASS
        return Action.FLAG if quarantined or self is not BankPurpose.VIOLATING else Action.CUT


class Variant(IntEnum):
    """How a frame was changed before it was hashed. The numbers are stored in bank files.

    ``CROP_07_5`` takes 7.5 % off each side length and stays centred. ``LEFT_20`` takes off the left 20 %.
    """

    ORIGINAL = 0
    INSIDE = 1
    """The frame without its plain border."""
    CROP_02_5 = 10
    CROP_05 = 11
    CROP_07_5 = 12
    CROP_10 = 13
    CROP_12_5 = 14
    CROP_15 = 15
    CROP_17_5 = 16
    CROP_20 = 17
    CROP_22_5 = 18
    CROP_25 = 19
    CROP_27_5 = 20
    CROP_30 = 21
    CROP_32_5 = 22
    CROP_35 = 23
    CROP_37_5 = 24
    CROP_40 = 25
    CROP_42_5 = 26
    CROP_45 = 27
    CROP_47_5 = 28
    CROP_50 = 29
    LEFT_10 = 40
    RIGHT_10 = 41
    TOP_10 = 42
    BOTTOM_10 = 43
    LEFT_20 = 44
    RIGHT_20 = 45
    TOP_20 = 46
    BOTTOM_20 = 47
    ROTATE_LEFT_3 = 60
    ROTATE_LEFT_1_5 = 61
    ROTATE_RIGHT_1_5 = 62
    ROTATE_RIGHT_3 = 63
    ROTATE_LEFT_7_5 = 64
    ROTATE_LEFT_6 = 65
    ROTATE_LEFT_4_5 = 66
    ROTATE_RIGHT_4_5 = 67
    ROTATE_RIGHT_6 = 68
    ROTATE_RIGHT_7_5 = 69
    KEYSTONE_TOP_5 = 70
    KEYSTONE_BOTTOM_5 = 71
    KEYSTONE_LEFT_5 = 72
    KEYSTONE_RIGHT_5 = 73
    KEYSTONE_TOP_7_5 = 74
    KEYSTONE_BOTTOM_7_5 = 75
    KEYSTONE_LEFT_7_5 = 76
    KEYSTONE_RIGHT_7_5 = 77
    KEYSTONE_TOP_10 = 78
    KEYSTONE_BOTTOM_10 = 79
    KEYSTONE_LEFT_10 = 80
    KEYSTONE_RIGHT_10 = 81

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Entry:
    """One known video, image or recording. Raises InvalidInput or LimitExceeded for a bad text field."""

    id: str
    """1 to 128 printable characters. It is unique in its bank."""
    kind: EntryKind
    label: str = ""
    """Category of the content. Where it is empty, the bank's label applies."""
    source: str = ""
    note: str = ""
    duration_ms: int = 0
    added_ms: int = 0
    """Wall time at which the entry was added."""

    def __post_init__(self) -> None:
        for name, limit in (("id", MAX_ID), ("label", MAX_LABEL), ("source", MAX_NOTE), ("note", MAX_NOTE)):
            text = getattr(self, name)
            if len(text) > limit:
                raise LimitExceeded(f"entry.{name}", limit, len(text), "characters")
            if not text.isprintable():
                raise InvalidInput(f"entry.{name}", "has characters that cannot be printed")
        if not self.id:
            raise InvalidInput("entry.id", "is empty")


@dataclass(frozen=True, slots=True)
class HashRun:
    """One PDQ hash of an entry and the stretch of the entry's time that it covers."""

    bits: bytes
    """32 bytes."""
    start_ms: int = 0
    span_ms: int = 0
    """0 when a single frame has the hash. More where the frame stood still."""
    quality: int = 100
    variant: Variant = Variant.ORIGINAL

    def __post_init__(self) -> None:
        if len(self.bits) != HASH_BYTES:
            raise InvalidInput("hash", f"has {len(self.bits)} bytes, not {HASH_BYTES}")
        if not 0 <= self.start_ms <= MAX_MEDIA_MS:
            raise LimitExceeded("hash.start_ms", MAX_MEDIA_MS, self.start_ms, "ms")
        if not 0 <= self.span_ms <= MAX_MEDIA_MS:
            raise LimitExceeded("hash.span_ms", MAX_MEDIA_MS, self.span_ms, "ms")
        if not 0 <= self.quality <= 100:
            raise InvalidInput("hash.quality", f"{self.quality} is not between 0 and 100")


@dataclass(frozen=True, slots=True)
class AudioPrint:
    """Chromaprint items of an entry's audio, one every 124 ms."""

    items: bytes
    """uint32, little endian."""
    start_ms: int = 0
    """Time in the entry at which the first item begins."""

    def __post_init__(self) -> None:
        count, rest = divmod(len(self.items), 4)
        if rest or not count:
            raise InvalidInput("sound.items", f"has {len(self.items)} bytes, not a multiple of 4")
        if count > MAX_AUDIO_ITEMS:
            raise LimitExceeded("sound.items", MAX_AUDIO_ITEMS, count, "items")
        if not 0 <= self.start_ms <= MAX_MEDIA_MS:
            raise LimitExceeded("sound.start_ms", MAX_MEDIA_MS, self.start_ms, "ms")

    def __len__(self) -> int:
        """Returns the number of items."""
        return len(self.items) // 4

    def array(self) -> U32:
        return np.frombuffer(self.items, "<u4").astype(np.uint32)


@dataclass(frozen=True, slots=True)
class Footage:
    """An entry with all its hashes in order of time and its audio."""

    entry: Entry
    hashes: tuple[HashRun, ...]
    audio: AudioPrint | None = None
    still_ms: tuple[int, ...] = ()
    """Times of the frames at which the frame stands still, if that was asked for. Not kept in banks."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One bank entry within the radius of one frame."""

    entry: str
    bank: str
    label: str
    distance: int
    """Hamming distance in bits."""
    timestamp_ms: int | None
    """Time in the known video. None for a single image."""
    span_ms: int = 0
    """How long the known video shows the same frame from there on."""
    variant: str = Variant.ORIGINAL.word
    """How the banked frame was changed. After a ``+``: how the live frame was changed."""
    purpose: BankPurpose = BankPurpose.VIOLATING
    severity: BankSeverity = BankSeverity.HIGH
    quality: int = field(default=100, kw_only=True)
    """PDQ quality of the live view, 0 to 100."""
    quarantined: bool = field(default=False, kw_only=True)
    """The entry is a runaway. It may ask for a review, not for a cut."""
    view: bytes = field(default=b"", kw_only=True)
    """PDQ hash of the live view. Empty: not known."""
    picture: int | None = field(default=None, kw_only=True)
    """Number of the live frame. The same frame has the same number. None: not known."""


@dataclass(frozen=True, slots=True)
class AudioCandidate:
    """A stretch of one bank entry that sounds like the newest live audio."""

    entry: str
    bank: str
    label: str
    end: int
    """Number of the live stretch's last item."""
    timestamp_ms: int
    """Time of that item in the known audio."""
    items: int
    """Length of the stretch in items."""
    error: float
    """Share of the bits that differ."""
    slope: float
    """Bank time divided by live time."""
    purpose: BankPurpose = BankPurpose.VIOLATING
    severity: BankSeverity = BankSeverity.HIGH
    quarantined: bool = field(default=False, kw_only=True)
    """The entry is a runaway. It may ask for a review, not for a cut."""


def is_found(candidates: Iterable[Candidate]) -> bool:
    """Whether a frame needs no closer look. What is only counted must not spare it one."""
    return any(candidate.purpose is not BankPurpose.COUNT for candidate in candidates)
