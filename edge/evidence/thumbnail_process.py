"""Makes thumbnails of live streams, contained: ``python -m edge.evidence.thumbnail_process REQUEST``.

The request is JSON on the command line. For each keyframe on stdin an answer comes on stdout, in the form of
``edge.evidence.thumbnail_messages``.
"""

from __future__ import annotations

import json
import sys

import av

from edge.containment import ContainmentMode, contain, die_with, load_all_of
from edge.containment import role as roles
from edge.domain import AccessUnit, Codec
from edge.errors import BrokenMedia, GateError
from edge.evidence.posters import jpeg_of
from edge.evidence.thumbnail_messages import Keyframe, answer, read_keyframe
from edge.stream import Decoder, FrameSizeLimit

_LONG_EDGE = 320


def main(argv: list[str]) -> int:
    request = json.loads(argv[0])
    die_with(request["parent"])
    load_all_of(av)
    largest = FrameSizeLimit(request["long_edge"], request["short_edge"])
    try:
        contain(roles.thumbnails(), ContainmentMode(request["containment"]))
    except GateError as error:
        print(error, file=sys.stderr)
        return 1
    while (keyframe := read_keyframe(sys.stdin.buffer)) is not None:
        try:
            content = answer(_picture(keyframe, largest))
        except (GateError, av.FFmpegError, ValueError) as error:
            content = answer(str(error))
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    return 0


def _picture(keyframe: Keyframe, largest: FrameSizeLimit) -> bytes:
    decoder = Decoder(Codec(keyframe.codec), keyframe.extradata, largest)
    frames = decoder.decode(AccessUnit(0, 0, True, keyframe.data, 0.0)) or decoder.drain()
    if not frames:
        raise BrokenMedia("no frame of it can be decoded")
    return jpeg_of(frames[0], _LONG_EDGE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
