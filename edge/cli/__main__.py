"""``python -m edge.cli`` is ``edge-gate``."""

from edge.cli import main

main()
