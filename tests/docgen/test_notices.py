"""The notices name every package that a gate needs, and detect any change except versions."""

from __future__ import annotations

from email.message import Message
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from docgen.notices import licence, notices, required, stale


class Installed(Distribution):
    """A package as its metadata describes it."""

    def __init__(self, **fields: str) -> None:
        self._fields = fields

    @property
    def metadata(self) -> Message:  # type: ignore[override]
        message = Message()
        for name, value in self._fields.items():
            message[name.replace("_", "-")] = value
        return message

    @property
    def files(self) -> None:
        return None

    def read_text(self, filename: str) -> None:
        return None

    def locate_file(self, path: object) -> Path:
        raise NotImplementedError


def test_everything_that_a_gate_needs_is_named_whatever_needs_it() -> None:
    packages = required()
    assert {"av", "grpcio", "psycopg-binary", "protobuf"} <= packages.keys()
    assert {"h11", "markupsafe"} <= packages.keys(), "what only other packages need"
    assert not {"pytest", "ruff", "torch", "mkdocs", "edge-gate"} & packages.keys()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"License_Expression": "MIT OR Apache-2.0", "License": "dual"}, "MIT OR Apache-2.0"),
        ({"License": "BSD-3-Clause"}, "BSD-3-Clause"),
        (
            {
                "License": "Copyright 2024\nPermission is hereby granted",
                "Classifier": "License :: OSI :: X11",
            },
            "X11",
        ),
        ({}, "not stated"),
    ],
)
def test_a_licence_is_what_the_metadata_states(fields: dict[str, str], expected: str) -> None:
    assert licence(Installed(**fields)) == expected


def test_what_was_just_written_is_current() -> None:
    packages = required()
    assert stale(notices(packages), packages) == []


def test_a_new_package_a_removed_one_and_a_changed_licence_are_stale() -> None:
    before = {"a": Installed(License="MIT"), "b": Installed(License="MIT"), "c": Installed(License="MIT")}
    now = {
        "a": Installed(License="MIT", Version="2"),
        "b": Installed(License="GPL-3.0-only"),
        "d": Installed(),
    }
    assert [line.split(":")[0] for line in stale(notices(dict(before)), dict(now))] == ["b", "c", "d"]


def test_native_libraries_are_named_without_their_hashes() -> None:
    text = notices({"av": required()["av"]})
    assert " avcodec," in text
    assert " x264," in text
    assert " opencore-amrnb," in text
