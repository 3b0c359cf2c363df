"""Fingerprints of known footage: a file to the hashes that a bank keeps of it.

Every frame is hashed. Between neighbouring frames of hand-held footage PDQ moves by 20 to 50 bits,
and after a fifth of a second the hash has nothing in common with what it was; a live sample can fall
on any frame, so a hash is left out only where the picture stands still.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError

from edge.errors import BrokenMedia, InvalidInput, LimitExceeded
from edge.match.chromaprint import ITEM_MS, available
from edge.match.entry import MAX_MEDIA_MS, Entry, EntryKind, Footage, HashRun, Variant
from edge.match.hearing import sound_of
from edge.match.pdq import LIMITED_RANGE, PdqHash, PdqHasher, distance
from edge.match.search import MAX_RADIUS
from edge.match.variants import VariantSet, variants_of

U8 = npt.NDArray[np.uint8]

STILL_BITS = 6
"""A frame this near to the first of its run belongs to the run."""
SAME_BITS = 4
"""A variant this near to another of the same frame adds nothing."""
MIN_QUALITY = 50
MAX_HASHES = 8_000_000
"""Of one video: an hour and a half of restless footage at 30 frames a second with all variants."""
_BLOCK = 1 << 20
_UNCHANGED = {Variant.ORIGINAL, Variant.INSIDE}
_PLANAR_LUMA = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "nv21", "gray")

Progress = Callable[[float, float], None]
"""Called with seconds done and seconds in all (0 when unknown)."""


def luma_of(frame: av.VideoFrame) -> U8:
    """The Y plane of a decoded frame, uint8 ``(h, w)``; a view of it where it has eight bits."""
    if frame.format.name not in _PLANAR_LUMA:
        frame = frame.reformat(format="gray")
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)
    return rows[:, : plane.width]


def frames_of(path: Path) -> Iterator[tuple[int, float, U8]]:
    """Decode a video or image: per frame its time in ms, the file's length in seconds and its luma.

    Times start at 0 and never go back. The luma is only valid until the next frame. Raises BrokenMedia
    when nothing of the file can be decoded; a file that ends in rubbish ends the iteration.
    """
    decoded = 0
    try:
        with av.open(str(path)) as media:
            if not media.streams.video:
                raise BrokenMedia(f"{path}: has no video")
            video = media.streams.video[0]
            video.thread_type = "AUTO"
            length = float(media.duration or 0) / av.time_base
            first: int | None = None
            last = 0
            for frame in media.decode(video):
                seconds = frame.time
                at = last if seconds is None else round(seconds * 1000)
                first = at if first is None else first
                last = max(last, at - first)
                decoded += 1
                yield last, length, luma_of(frame)
    except (FFmpegError, OSError) as error:
        if not decoded:
            raise BrokenMedia(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if not decoded:
        raise BrokenMedia(f"{path}: has no frame that can be decoded")


def is_a_shape(found: PdqHash) -> bool:
    """Whether a part of a picture is its own mirror image: what a crop leaves of a diagram, a field of a
    board, a key. They look like one another, and like no footage."""
    return distance(found.bits, found.mirrored) <= MAX_RADIUS


def fingerprint(
    path: Path,
    *,
    entry_id: str | None = None,
    label: str = "",
    note: str = "",
    added_ms: int = 0,
    variants: VariantSet = VariantSet.WIDE,
    min_quality: int = MIN_QUALITY,
    still_bits: int = STILL_BITS,
    sound: bool | None = None,
    progress: Progress | None = None,
) -> Footage:
    """Decode a file and hash every frame of it, and its sound.

    ``sound``: whether to look at it; None: where libchromaprint is installed. A file that has sound and no
    picture becomes an entry of sound alone.

    ``entry_id`` defaults to the start of the file's SHA-256. Raises BrokenMedia when nothing can be
    decoded, InvalidInput when there is no such file or no frame reaches ``min_quality``, and
    LimitExceeded when the video has over eight million hashes. ConfigError when sound is asked for and
    libchromaprint is missing.
    """
    if not path.is_file():
        raise InvalidInput("path", f"no such file: {path}")
    heard = sound_of(path) if (available() if sound is None else sound) else None
    if heard is not None and not has_picture(path):
        entry = Entry(
            id=entry_id or content_id(path),
            kind=EntryKind.SOUND,
            label=label,
            source=printable(path.name),
            note=note,
            duration_ms=heard.start_ms + round(len(heard) * ITEM_MS),
            added_ms=added_ms,
        )
        return Footage(entry, (), heard)
    hasher = PdqHasher(contrast=LIMITED_RANGE)
    runs: list[HashRun] = []
    latest: dict[Variant, int] = {}
    end = frames = 0
    for at, length, luma in frames_of(path):
        frames += 1
        end = min(at, MAX_MEDIA_MS)
        if progress is not None:
            progress(at / 1000, length)
        here: list[bytes] = []
        for variant, picture in variants_of(luma, variants):
            found = hasher.hash(picture)
            if found.quality < min_quality or any(distance(h, found.bits) <= SAME_BITS for h in here):
                continue
            if variant not in _UNCHANGED and is_a_shape(found):
                continue
            here.append(found.bits)
            last = latest.get(variant)
            if last is not None and distance(runs[last].bits, found.bits) <= still_bits:
                runs[last] = replace(runs[last], span_ms=end - runs[last].start_ms)
                continue
            if len(runs) == MAX_HASHES:
                raise LimitExceeded(
                    f"{path.name} with {variants} variants", MAX_HASHES, MAX_HASHES + 1, "hashes"
                )
            latest[variant] = len(runs)
            runs.append(HashRun(found.bits, start_ms=end, quality=found.quality, variant=variant))
    if not runs and heard is None:
        raise InvalidInput(str(path), f"none of {frames} frames has a PDQ quality of {min_quality} or more")
    kind = EntryKind.IMAGE if frames == 1 else EntryKind.VIDEO
    entry = Entry(
        id=entry_id or content_id(path),
        kind=kind,
        label=label,
        source=printable(path.name),
        note=note,
        duration_ms=0 if kind is EntryKind.IMAGE else end,
        added_ms=added_ms,
    )
    return Footage(entry, tuple(runs), heard)


def has_picture(path: Path) -> bool:
    """Whether a file has a video or image, other than the cover of a recording. Raises BrokenMedia."""
    try:
        with av.open(str(path)) as media:
            cover = av.stream.Disposition.attached_pic
            return any(not stream.disposition & cover for stream in media.streams.video)
    except (FFmpegError, ValueError, OSError) as error:
        raise BrokenMedia(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def content_id(path: Path) -> str:
    """An id that the same bytes always get: 24 hexadecimal digits of the file's SHA-256."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()[:24]


def printable(name: str) -> str:
    """A file name as an entry may keep it."""
    return "".join(c if c.isprintable() else "?" for c in name)[:256]
