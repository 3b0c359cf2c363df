"""Opens recorded files with FFmpeg, as the files that they are and nothing else."""

from __future__ import annotations

import os
import re
import traceback
from pathlib import Path
from typing import Final

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from edge.errors import BrokenMedia, NotMedia
from edge.printable import printable
from edge.settings_file import open_regular

_NO_MEDIA: Final = frozenset(
    (
        *("tty", "bin", "xbin", "adf", "idf"),  # text, which FFmpeg draws as frames
        *("concat", "hls", "hls,applehttp", "dash", "imf", "sdp"),  # lists of other places to read from
    )
)
"""Formats that hold no media of their own."""
_PROMISES: Final = re.compile(
    r"\.(3gp|aac|asf|avi|avif|bmp|flac|flv|gif|h264|heic|jpe?g|m2ts|m4a|m4v|mkv|mov|mp3|mp4|mpe?g|mts|mxf|oga|ogg|"
    r"ogv|opus|png|tiff?|ts|vob|wav|webm|webp|wma|wmv)",
    re.IGNORECASE,
)
"""Endings of names that promise media. A file with one of them that FFmpeg does not know is damaged."""
_UNEXPECTED_CHARACTERS: Final = 400
_HEAD_BYTES: Final = 21
_OPTIONS: Final = {
    "pattern_type": "none",  # ``shot%03d.png`` is the name of a file, not of many
    "protocol_whitelist": "file",
}


def unexpected(error: Exception) -> str:
    """Says what a library raised on one file. With ``EDGE_TRACEBACK`` the traceback goes to stderr."""
    if os.environ.get("EDGE_TRACEBACK"):
        traceback.print_exception(error)
    return printable(f"unexpected {type(error).__name__}: {error}"[:_UNEXPECTED_CHARACTERS])


def promises_media(path: Path) -> bool:
    """Whether a file's name says that it is media. Hidden ones, such as ``._clip.mp4``, stand beside it."""
    return _PROMISES.fullmatch(path.suffix) is not None and not path.name.startswith(".")


def media_url(path: Path) -> str:
    """Returns how FFmpeg is told a file's name, so that it takes ``clip:1.mp4`` for no protocol."""
    return f"file:{path}"


def open_media(path: Path) -> InputContainer:
    """Opens a recorded file.

    Raises OSError where it cannot be read or is no regular file, which would be waited for; NotMedia where it
    is something else than media, and BrokenMedia where it seems to be media and cannot be opened.
    """
    with open_regular(path) as file:
        head = file.read(_HEAD_BYTES)
    if _is_animated_webp(head):
        raise BrokenMedia(f"{path}: FFmpeg decodes no animated WebP; convert it to GIF, APNG or a video")
    try:
        container = av.open(media_url(path), options=_OPTIONS)
    except FFmpegError as error:
        said = printable(error.strerror or type(error).__name__)
        if promises_media(path):
            raise BrokenMedia(f"{path}: cannot be read as media: {said}") from None
        raise NotMedia(f"{path}: is no media") from None
    except ValueError as error:  # titles in no encoding, names with a NUL
        raise BrokenMedia(f"{path}: cannot be read as media: {printable(str(error))}") from None
    if container.format.name in _NO_MEDIA:
        container.close()
        raise NotMedia(f"{path}: is no media")
    return container


def picture_of(container: InputContainer, path: Path) -> VideoStream | None:
    """Returns the stream of a file's video. None where it has none but the cover of a recording.

    Of several, as an icon has them, it is the one that the file says to be shown, or else the largest.
    Of a HEIC photo of tiles, as telephones make them, that is the small copy beside the tiles: PyAV does not
    say how tiles are joined. Raises BrokenMedia where there is no such copy.
    """
    pictures = [each for each in container.streams.video if not each.disposition & Disposition.attached_pic]
    whole = [each for each in pictures if not each.disposition & Disposition.dependent]
    if pictures and not whole:
        raise BrokenMedia(f"{path}: a photo of tiles, which cannot be joined; convert it to JPEG or PNG")
    return max(whole, key=lambda each: (_is_default(each), _pixels(each)), default=None)


def _pixels(stream: VideoStream) -> int:
    context = stream.codec_context  # None where nobody knows the codec
    return 0 if context is None else context.width * context.height


def _is_default(stream: VideoStream) -> bool:
    return bool(stream.disposition & Disposition.default)


def _is_animated_webp(head: bytes) -> bool:
    """Whether a file's first bytes are of a WebP with the flag for animation in its VP8X chunk."""
    extended = head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X"
    return extended and bool(head[20:] and head[20] & 0x02)
