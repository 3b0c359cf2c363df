"""Fingerprints one file in a contained process: ``python -m edge.match.fingerprint_process REQUEST``.

The request is JSON on the command line. Progress goes to the descriptor that the request names, as two
little-endian doubles, and the footage to stdout.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

import av

from edge.containment import ContainmentMode, contain, die_with, load_all_of
from edge.containment import role as roles
from edge.errors import BrokenMedia, GateError
from edge.match.audio.chromaprint import available
from edge.match.evasion.variants import VariantSet
from edge.match.fingerprint import Damage, fingerprint
from edge.match.footage_message import PROGRESS, error_to_bytes, footage_to_bytes
from edge.recorded_media import unexpected


def main(argv: list[str]) -> int:
    request = json.loads(argv[0])
    die_with(request.pop("parent"))
    path, progress = Path(request.pop("path")), request.pop("progress")
    mode = ContainmentMode(request.pop("containment"))
    variants = VariantSet(request.pop("variants"))
    load_all_of(av)
    available()
    damage = Damage()

    def advance(done_s: float, length_s: float) -> None:
        with contextlib.suppress(BlockingIOError):  # nobody has looked since the last frames
            os.write(progress, PROGRESS.pack(done_s, length_s))

    os.set_blocking(progress, False)
    try:
        contained = contain(roles.fingerprint(path), mode)
        footage = fingerprint(path, variants=variants, progress=advance, damage=damage, **request)
        missing = {str(measure): why for measure, why in contained.missing.items()}
        answer = footage_to_bytes(footage, damage.packets, missing)
    except GateError as error:
        answer = error_to_bytes(error)
    except Exception as error:  # of a library, and this file's own: others go on
        answer = error_to_bytes(BrokenMedia(f"{path}: {unexpected(error)}"))
    sys.stdout.buffer.write(answer)
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
