"""A checkout is set up the same everywhere: pins, hooks and supported Pythons agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")
PINNED_EXTRAS = sorted(PROJECT["optional-dependencies"].keys() - {"train"})


def _pins(python: str) -> dict[str, str]:
    """Pinned versions on Linux with that Python, by canonical name."""
    pins: dict[str, str] = {}
    for line in CONSTRAINTS.splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            environment = {"python_version": python[:4], "python_full_version": python}
            if pin.marker is None or pin.marker.evaluate(environment):
                (specifier,) = pin.specifier
                pins[canonicalize_name(pin.name)] = specifier.version
    return pins


@pytest.mark.parametrize("python", ["3.11.7", "3.12.1", "3.13.0"])
@pytest.mark.parametrize("extra", ["", *PINNED_EXTRAS])
def test_every_direct_dependency_is_pinned_within_its_bounds(extra: str, python: str) -> None:
    pins = _pins(python)
    lines = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    for requirement in map(Requirement, lines):
        if requirement.name != PROJECT["name"]:
            version = pins[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), (
                f"{requirement}, pinned {version}: make constraints"
            )


def test_pins_name_no_place_to_fetch_from_and_leave_torch_to_its_extra() -> None:
    assert "://" not in CONSTRAINTS
    assert not re.search(r"^(-|torch\b)|@", CONSTRAINTS, re.MULTILINE)


def test_classifiers_name_the_pythons_that_are_allowed() -> None:
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert named == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == ">=3.11,<3.14"


def test_hooks_call_the_checkout_s_own_tools_and_fetch_nothing() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert {repository["repo"] for repository in config["repos"]} == {"local"}
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert hooks
    for hook in hooks:
        assert hook["language"] == "system", hook["id"]
        assert ".venv/bin/" in hook["entry"], hook["id"]


def test_a_stranger_finds_each_room_and_each_place_to_add_to() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    picture = guide.split("```")[3]
    rooms = {each.name for each in (ROOT / "edge").iterdir() if (each / "__init__.py").is_file()}
    assert {room for room in rooms if not re.search(rf"\b{room}\b", picture)} == set()
    for what in ("server", "category", "bank format", "kind of exchange", "RPC", "page"):
        section = guide.split(f"## Add a {what}\n" if what != "RPC" else "## Add an RPC\n")[1].split("\n## ")[
            0
        ]
        named = [
            each
            for each in re.findall(r"`((?:edge|protos|docs|deploy|models|tests)/[\w./-]*)`", section)
            if "KIND" not in each
        ]
        assert named
        assert [each for each in named if not (ROOT / each).exists()] == []


def test_an_entry_of_the_changelog_is_one_line_and_the_readme_is_short() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    headings = ("#", "- ", "The format", "One line", "The first version")
    assert [line for line in changes if line and not line.startswith(headings)] == []
    assert [line for line in changes if len(line) > 140] == []
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150
