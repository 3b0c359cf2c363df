"""MkDocs hook: fills pages with text from the code and from files outside `docs/`.

Two comments stand for such text. `<!-- generate: NAME ARGUMENT -->` calls a generator of this package.
`<!-- include: PATH -->` inserts a file of the repository.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

from docgen.commands import describe_commands
from docgen.contract import describe_contract
from docgen.looks import describe_looks
from docgen.metrics import describe_metrics
from docgen.settings import describe_policy, describe_section, describe_settings

ROOT: Final = Path(__file__).resolve().parent.parent
GENERATORS: Final[dict[str, Callable[..., str]]] = {
    "commands": describe_commands,
    "contract": describe_contract,
    "looks": describe_looks,
    "metrics": describe_metrics,
    "policy": describe_policy,
    "section": describe_section,
    "settings": describe_settings,
}
INCLUDED: Final = {
    "benchmarks/RESULTS.md": "results.md",
    "benchmarks/latency.svg": "latency.svg",
    "models/cards/fight-lite0.md": "tune/model-card.md",
    "models/cards/ears.md": "tune/ears-card.md",
    "models/cards/firearm-lite0.md": "tune/firearm-card.md",
}
"""Files of the repository that have a page in the site. Links between them stay links."""

_GENERATE = re.compile(r"<!-- generate: (\w+)(?: (\S+))? -->")
_INCLUDE = re.compile(r"<!-- include: (\S+) -->")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Any, *, config: Any) -> Any:
    """Adds the frames of included files."""
    for source, target in INCLUDED.items():
        if not target.endswith(".md"):
            files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Replaces the two comments. Raises PluginError for an unknown generator or file."""
    where = page.file.src_uri

    def generated(match: re.Match[str]) -> str:
        name, argument = match.groups()
        if name not in GENERATORS:
            raise PluginError(f"{where}: no generator {name!r}; there are {', '.join(sorted(GENERATORS))}")
        return GENERATORS[name](*filter(None, [argument]))

    def included(match: re.Match[str]) -> str:
        source = match.group(1)
        if INCLUDED.get(source) != where:
            raise PluginError(f"{where}: {source} is not included here; see INCLUDED in docgen/hook.py")
        return relinked((ROOT / source).read_text(encoding="utf-8"), source, where)

    return _INCLUDE.sub(included, _GENERATE.sub(generated, markdown))


def relinked(text: str, source: str, where: str) -> str:
    """Returns the text of ``source`` as a page at ``where``.

    A link to a file outside the site becomes that file's path, because there is no page to link to.
    """

    def link(match: re.Match[str]) -> str:
        image, label, target, anchor = match.groups()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path not in INCLUDED:
            return f"{label} (`{path}`)"
        there = os.path.relpath(INCLUDED[path], posixpath.dirname(where) or ".")
        return f"{image}[{label}]({there}{anchor or ''})"

    return _LINK.sub(link, text)
