"""``python -m benchmarks NAME [options]`` runs ``benchmarks/NAME.py``. Every benchmark has ``--json``."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

from edge.grpc_listener import use_short_listener


def main(argv: list[str]) -> int:
    names = sorted(
        module.name
        for module in pkgutil.iter_modules([str(Path(__file__).parent)])
        if not module.name.startswith(("_", "test_"))
    )
    if not argv or argv[0] in {"-h", "--help"}:
        print(f"usage: python -m benchmarks {{{','.join(names)}}} [options]")
        return 0 if argv else 2
    if argv[0] not in names:
        print(f"no benchmark {argv[0]!r}; there are: {', '.join(names)}", file=sys.stderr)
        return 2
    use_short_listener()
    run = importlib.import_module(f"benchmarks.{argv[0]}").main
    return int(run(argv[1:]))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
