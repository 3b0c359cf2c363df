"""`THIRD_PARTY_NOTICES.md`: run-time dependencies and their licences, from the installed packages.

`python -m docgen.notices` writes the file. `--check` fails when a package or a licence is missing or has
changed. It ignores versions, so that an update of a package does not make the file stale. `--texts FILE`
writes the full licence texts, for those who redistribute the packages, as in a container image.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from docgen.markdown import cell, table

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "THIRD_PARTY_NOTICES.md"
EXTRAS = ("postgresql", "s3")
"""The extras that a gate in service uses. The others are for demonstrations and development."""

_LINKS = ("source", "source code", "repository", "homepage", "documentation")
_LIBRARY = re.compile(r"\.libs/lib([\w+-]+?)(?:-[0-9a-f]{8}){0,2}\.so")
_TEXT = re.compile(r"(?:^|/)(?:LICEN[CS]E|COPYING|NOTICE|ThirdPartyNotices)[^/]*$", re.IGNORECASE)
_INTRODUCTION = """\
# Third-party notices

`make notices` writes this file from the installed packages. edge-gate itself is under Apache-2.0.

The packages below are installed beside edge-gate; none of their code is in its own package.
Each brings its licence text along. `python -m docgen.notices --texts FILE` writes all texts to one file.

`edge/console/static/idiomorph.min.js` is idiomorph 0.8.0, under 0BSD; its licence text lies beside it.

The detector's weights (`models/`) are trained from EfficientNet-Lite0, which is under Apache-2.0.
"""
_LIBRARIES = """\
## Native libraries inside these packages

The binary packages for Linux hold these libraries. x264 and x265 inside `av` are under GPL-2.0-or-later; the
FFmpeg libraries there are under LGPL-3.0-or-later. Whoever passes on an image with `av` in it passes on these
libraries, too.
"""


def required() -> dict[str, Distribution]:
    """Returns every package that pyproject.toml requires with these extras, and their dependencies, by
    canonical name.

    Raises PackageNotFoundError when one is not installed.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = [*project["dependencies"], *(line for e in EXTRAS for line in project["optional-dependencies"][e])]
    found: dict[str, Distribution] = {}
    waiting: list[tuple[list[str], tuple[str, ...]]] = [(own, ())]
    while waiting:
        lines, extras = waiting.pop()
        for requirement in map(Requirement, lines):
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                continue
            key = canonicalize_name(requirement.name)
            if key not in found:
                found[key] = distribution(requirement.name)
                waiting.append((found[key].requires or [], tuple(requirement.extras)))
    return dict(sorted(found.items()))


def licence(package: Distribution) -> str:
    """Returns the licence in a package's metadata: SPDX expression, short text, or classifiers."""
    stated = _stated(package, "License-Expression") or _stated(package, "License")
    if stated and len(stated) <= 80 and "\n" not in stated:
        return stated
    classifiers = package.metadata.get_all("Classifier") or []
    named = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License ::")]
    return ", ".join(named) or "not stated"


def _stated(package: Distribution, field: str) -> str:
    return str((package.metadata.get_all(field) or [""])[0])


def _link(package: Distribution) -> str:
    links = {}
    for line in package.metadata.get_all("Project-URL") or []:
        label, _, url = line.partition(",")
        links[label.strip().lower()] = url.strip()
    preferred = (links[label] for label in _LINKS if label in links)
    return next(preferred, _stated(package, "Home-page"))


def _rows(packages: dict[str, Distribution]) -> list[tuple[str, str]]:
    return [(name, cell(licence(package))) for name, package in packages.items()]


def _libraries(package: Distribution) -> list[str]:
    return sorted({match[1] for path in package.files or () if (match := _LIBRARY.search(str(path)))})


def notices(packages: dict[str, Distribution]) -> str:
    """Returns the whole file."""
    rows = [(name, stated, _link(packages[name])) for name, stated in _rows(packages)]
    held = [(name, ", ".join(libraries)) for name, p in packages.items() if (libraries := _libraries(p))]
    return "\n".join(
        [
            _INTRODUCTION,
            "## Packages\n",
            table(("Package", "Licence", "Source"), rows),
            _LIBRARIES,
            table(("Package", "Libraries"), held),
        ]
    )


def stale(text: str, packages: dict[str, Distribution]) -> list[str]:
    """Returns a line for each package that ``text`` lacks or should not have; empty when it is current."""
    written = dict(re.findall(r"^\| ([a-z0-9-]+) \| ([^|]+) \| [^|]*\|$", text, re.MULTILINE))
    current = dict(_rows(packages))
    changed = {n for n in written.keys() | current.keys() if written.get(n) != current.get(n)}
    return [f"{n}: written {written.get(n)}, installed {current.get(n)}" for n in sorted(changed)]


def _texts(packages: dict[str, Distribution]) -> Iterator[str]:
    for name, package in packages.items():
        yield f"{'=' * 80}\n{name} {package.version}: {licence(package)}\n{'=' * 80}\n"
        for path in package.files or ():
            if _TEXT.search(str(path)):
                yield f"--- {path.name}\n{path.read_text(encoding='utf-8')}\n"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--check", action="store_true")
    arguments.add_argument("--texts", type=Path, metavar="FILE")
    options = arguments.parse_args()
    try:
        packages = required()
    except PackageNotFoundError as error:
        print(f"{error.name} is not installed: run `make notices`", file=sys.stderr)
        return 1
    if options.texts:
        options.texts.write_text("".join(_texts(packages)), encoding="utf-8")
    elif options.check:
        problems = stale(TARGET.read_text(encoding="utf-8"), packages)
        if problems:
            print(f"{TARGET.name} is out of date, run `make notices`:", *problems, sep="\n", file=sys.stderr)
            return 1
    else:
        TARGET.write_text(notices(packages), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
