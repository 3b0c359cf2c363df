"""Makes poster frames of one clip in a contained process: ``python -m edge.evidence.poster_process REQUEST``.

The request is JSON on the command line. The posters go to stdout, in the form of ``edge.evidence.posters``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import av

from edge.containment import ContainmentMode, contain, die_with, load_all_of
from edge.containment import role as roles
from edge.errors import GateError
from edge.evidence.posters import make_posters, posters_to_bytes


def main(argv: list[str]) -> int:
    request = json.loads(argv[0])
    die_with(request["parent"])
    path = Path(request["path"])
    load_all_of(av)
    try:
        contain(roles.posters(path), ContainmentMode(request["containment"]))
        content = posters_to_bytes(make_posters(path, request["moments_ms"]))
    except GateError as error:
        print(error, file=sys.stderr)
        return 1
    sys.stdout.buffer.write(content)
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
