"""Says loudly which module a contained process fails to import.

It can read no module any more. Where the failure is caught for something else, as a fault of the media, the
process would do less than it should and nobody would know.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import pkgutil
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

log = logging.getLogger(__name__)


class LateImports(MetaPathFinder):
    """Refuses every module that is not loaded yet. Logs each once."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raises ImportError."""
        if name not in self._said:
            self._said.add(name)
            log.error("a contained process cannot import %s: it has to be imported at the start", name)
        raise ImportError(f"{name} is not loaded, and this process is contained", name=name)


def load_all_of(package: ModuleType) -> None:
    """Imports every module of a package whose modules import each other when they are first used."""
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError):  # it needs something that is not installed
                importlib.import_module(module.name)


def refuse_late_imports() -> None:
    sys.meta_path.insert(0, LateImports())
