"""Fingerprints known footage: turns a file into the hashes that a bank keeps of it.

Every frame is hashed. In hand-held footage the PDQ hash moves by 20 to 50 bits from one frame to the next.
After a fifth of a second it has nothing in common with the first one. A live sample can fall on any frame.
So a hash is left out only where the frame stands still.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError

from edge.errors import BrokenMedia, InvalidInput, LimitExceeded, NoVideo
from edge.match.audio.audio_fingerprint import audio_print_of
from edge.match.audio.chromaprint import ITEM_MS, available
from edge.match.display_matrix import display_matrix_of
from edge.match.entry import MAX_MEDIA_MS, Entry, EntryKind, Footage, HashRun, Variant
from edge.match.evasion.variants import VariantSet, variants_of, views_of
from edge.match.index.hamming import MAX_RADIUS
from edge.match.pdq.hasher import LIMITED_RANGE, PdqHash, PdqHasher, distance
from edge.match.stillness import F32, fields_of, still_times
from edge.recorded_media import open_media, picture_of
from edge.settings_file import open_regular

U8 = npt.NDArray[np.uint8]

STILL_BITS = 6
"""A frame at most this many bits from the first of a run belongs to the run."""
SAME_BITS = 4
"""A variant at most this many bits from another of the same frame adds nothing."""
MIN_QUALITY = 50
MAX_HASHES = 8_000_000
"""Most hashes of one video: an hour and a half of restless footage at 30 frames a second with all
variants."""
MAX_DAMAGED_IN_A_ROW = 60
"""Consecutive packets without video after which a file counts as broken. Live streams have the same
limit."""
MAX_STRAY_MS = 2000
"""Most time between the pts of a frame and its decoding time. Reordering takes less."""
_BLOCK = 1 << 20
_UNCHANGED = {Variant.ORIGINAL, Variant.INSIDE}
_PLANAR_LUMA = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "nv21", "gray")

Progress = Callable[[float, float], None]
"""Called with the seconds done and the total seconds, 0 when unknown."""


def luma_of(frame: av.VideoFrame) -> U8:
    """Returns the Y plane of a decoded frame, uint8 ``(h, w)``. Planes of eight bits are not copied."""
    if frame.format.name not in _PLANAR_LUMA:
        frame = frame.reformat(format="gray")
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)
    return rows[:, : plane.width]


@dataclass(slots=True)
class Damage:
    """Counts the parts of a file that could not be decoded."""

    packets: int = 0
    """Skipped packets, including the one at which the file ends too early."""


def frames_of(
    path: Path, *, as_coded: bool = False, damage: Damage | None = None
) -> Iterator[tuple[int, float, U8]]:
    """Decodes a video or image. Yields each frame's time in ms, the file's length in seconds and the luma.

    Times start at 0 and never go back. The luma, uint8 ``(h, w)``, is only valid until the next frame. It
    is rotated as a player shows it, unless ``as_coded``. A frame whose pts is over two seconds away from its
    decoding time has the latter, so that one wrong stamp shifts no other frame. Damaged packets are skipped
    and counted in ``damage``. Raises BrokenMedia when no frame can be decoded, and after over sixty damaged
    packets in a row.
    """
    damage = Damage() if damage is None else damage
    first = begin = None
    last = decoded = in_a_row = 0
    reason = "has no frame that can be decoded"
    try:
        with open_media(path) as media:
            video = picture_of(media, path)
            if video is None:
                raise NoVideo(f"{path}: has no video, and no audio that is fingerprinted")
            if video.codec_context is None:
                raise BrokenMedia(f"{path}: FFmpeg has no decoder for its video")
            # Frame threads lose good frames next to a damaged one, and sometimes the error.
            video.thread_type = "SLICE"
            length = float(media.duration or 0) / av.time_base
            for packet in media.demux(video):
                begin = _stamp_ms(packet.dts, packet.time_base) if begin is None else begin
                try:
                    pictures = [(frame, luma_of(frame)) for frame in packet.decode()]
                except (FFmpegError, ValueError) as error:
                    reason = _reason(error)
                    damage.packets += 1
                    in_a_row += 1
                    if in_a_row > MAX_DAMAGED_IN_A_ROW:
                        raise BrokenMedia(
                            f"{path}: over {MAX_DAMAGED_IN_A_ROW} packets in a row after {last / 1000:.1f} s "
                            f"cannot be decoded ({reason}); cut it there, or take a whole copy"
                        ) from None
                    continue
                for frame, luma in pictures:
                    in_a_row = 0
                    seconds = frame.time
                    at = last if seconds is None else round(seconds * 1000)
                    first = at if first is None else first
                    at -= first
                    came = _stamp_ms(frame.dts, frame.time_base)
                    if came is not None and begin is not None and abs(came - begin - at) > MAX_STRAY_MS:
                        at = came - begin
                    last = max(last, at)
                    decoded += 1
                    yield last, length, luma if as_coded else _upright(luma, frame)
    except (FFmpegError, OSError) as error:
        reason = _reason(error)
        damage.packets += 1
    if not decoded:
        raise BrokenMedia(f"{path}: {reason}") from None


def _upright(luma: U8, frame: av.VideoFrame) -> U8:
    """Rotates and mirrors a frame as its display matrix says. Only quarter turns are applied.

    The matrix maps a pixel's column and row to the place of display: ``x' = a x + c y``, ``y' = b x + d y``.
    """
    matrix = display_matrix_of(frame)
    if matrix is None:
        return luma
    a, b, _, c, d = np.sign(np.round(matrix[:5] / (1 << 16))).astype(int).tolist()
    if a and d and not b and not c:
        return luma[::d, ::a]
    if b and c and not a and not d:
        return luma.T[::b, ::c]
    return luma


def _stamp_ms(stamp: int | None, base: Fraction | None) -> int | None:
    return None if stamp is None or base is None else round(1000 * stamp * base)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def is_self_mirrored(found: PdqHash) -> bool:
    """Whether a frame looks the same when mirrored.

    Crops of diagrams, board fields and keys do. They resemble one another and no footage.
    """
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
    audio: bool | None = None,
    stretch_ms: tuple[int, int] | None = None,
    as_coded: bool = False,
    progress: Progress | None = None,
    damage: Damage | None = None,
) -> Footage:
    """Decodes a file and fingerprints every frame and the audio.

    ``audio`` says whether to fingerprint the audio. None means: where libchromaprint is installed. A file
    with audio and no frame becomes an entry of audio alone. ``stretch_ms`` is the first and last moment
    that get variants: all other frames are hashed as live ones are looked up. It also asks for ``still_ms``.
    ``as_coded`` keeps the frame as coded, without the rotation of a player. Live streams are looked up so.
    Frames at most ``still_bits`` apart become one run of hashes; with -1 each frame has its own. Damaged
    packets of the frame are left out and counted in ``damage``.

    ``entry_id`` defaults to the start of the file's SHA-256. Raises BrokenMedia when nothing can be decoded
    or over sixty packets in a row are damaged. Raises InvalidInput when the file does not exist or no frame
    reaches ``min_quality``. Raises LimitExceeded for over eight million hashes. Raises ConfigError when
    audio is asked for and libchromaprint is missing.
    """
    if not path.exists():
        raise InvalidInput("path", f"no such file: {path}")
    heard = audio_print_of(path) if (available() if audio is None else audio) else None
    if heard is not None and not has_video(path):
        entry = Entry(
            id=entry_id or content_id(path),
            kind=EntryKind.AUDIO,
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
    times: list[int] = []
    fields: list[F32] = []
    end = frames = 0
    for at, length, luma in frames_of(path, as_coded=as_coded, damage=damage):
        frames += 1
        end = min(at, MAX_MEDIA_MS)
        if progress is not None:
            progress(at / 1000, length)
        if stretch_ms is not None:
            times.append(end)
            fields.append(fields_of(luma))
        here: list[bytes] = []
        varied = stretch_ms is None or stretch_ms[0] <= at <= stretch_ms[1]
        for variant, picture in variants_of(luma, variants) if varied else views_of(luma):
            found = hasher.hash(picture)
            if found.quality < min_quality or any(distance(h, found.bits) <= SAME_BITS for h in here):
                continue
            if variant not in _UNCHANGED and is_self_mirrored(found):
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
    return Footage(entry, tuple(runs), heard, still_times(times, fields))


def has_video(path: Path) -> bool:
    """Whether a file has a video or image. The cover of a recording does not count. Raises BrokenMedia."""
    try:
        with open_media(path) as media:
            return picture_of(media, path) is not None
    except (FFmpegError, ValueError, OSError) as error:
        raise BrokenMedia(f"{path}: {_reason(error)}") from None


def content_id(path: Path) -> str:
    """Returns an id from the file's bytes: the first 24 hexadecimal digits of its SHA-256."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()[:24]


def printable(name: str) -> str:
    """Returns a file name as an entry may store it: printable, at most 256 characters."""
    return "".join(c if c.isprintable() else "?" for c in name)[:256]
