"""Reads how a frame is to be turned and mirrored, whatever else comes with it."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from typing import Any, Final

import av
import av.filter
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError
from av.sidedata.sidedata import Type

I32 = npt.NDArray[np.int32]

_UNKNOWN_KINDS: Final = range(len(Type), len(Type) + 16)
"""Kinds of side data that the linked FFmpeg may have and PyAV does not know, such as EXIF."""


def display_matrix_of(frame: av.VideoFrame) -> I32 | None:
    """Returns a frame's display matrix, int32 ``(9,)``, with ``a b u c d v x y w`` in 16.16 fixed point. None
    where it has none."""
    try:
        return _matrix(frame)
    except ValueError:  # PyAV lists no side data at all of a frame with a kind that it does not know
        with suppress(ValueError, FFmpegError):
            return _matrix(_without_unknown_kinds(frame))
    return None


def _matrix(frame: av.VideoFrame) -> I32 | None:
    found: Any = frame.side_data.get("DISPLAYMATRIX")
    return None if found is None else np.frombuffer(found, np.int32)


def _without_unknown_kinds(frame: av.VideoFrame) -> av.VideoFrame:
    graph = av.filter.Graph()
    last = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1)
    )
    source = last
    for kind in _UNKNOWN_KINDS:
        delete = graph.add("sidedata", f"mode=delete:type={kind}")
        last.link_to(delete)
        last = delete
    last.link_to(graph.add("buffersink"))
    graph.configure()
    source.push(frame)
    plain = graph.pull()
    assert isinstance(plain, av.VideoFrame)
    return plain
