"""Files that an operator names: pipes, devices, folders, too much, no text, readable by others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.api.auth import parse_tokens
from edge.config import load_settings
from edge.errors import BrokenMedia, ConfigError, InvalidInput, ModelError
from edge.ingest.publish_token import read_publish_tokens
from edge.match.fingerprint import content_id, frames_of
from edge.match.formats.hash_lists import HashListFormat, Import, sniff
from edge.notices.catalogue import own_messages
from edge.settings_file import read_settings_file, read_settings_text
from edge.stream.media_file import open_media_file
from edge.tuning.evaluation import read_rows


def pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [pipe, endless, Path.mkdir])
@pytest.mark.parametrize(
    "read",
    [
        lambda path: read_settings_file(path, 100),
        load_settings,
        parse_tokens,
        read_publish_tokens,
        lambda path: own_messages(path.parent),
        lambda path: read_rows(path),
        lambda path: open_media_file(path).__enter__(),
        lambda path: next(frames_of(path)),
        content_id,
        sniff,
        lambda path: next(iter(Import(path, HashListFormat.PDQ))),
    ],
    ids=[
        *("file", "settings", "tokens", "publish tokens", "texts", "labels"),
        *("media", "frames", "content", "list", "import"),
    ],
)
@pytest.mark.timeout(20)
def test_what_is_no_regular_file_neither_hangs_nor_runs_on(
    make: Callable[[Path], None], read: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / "en.json"
    make(path)
    with pytest.raises(
        (ConfigError, InvalidInput, BrokenMedia, OSError), match=r"(?i)is not a regular file|is a dir"
    ):
        read(path)


def test_a_model_manifest_is_a_regular_file(tmp_path: Path) -> None:
    from edge.detect.pack_files import MANIFEST_NAME, read_pack

    (tmp_path / MANIFEST_NAME).symlink_to("/dev/zero")
    with pytest.raises(ModelError):
        read_pack(tmp_path)


def test_size_text_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"\xff" * 101)
    with pytest.raises(ConfigError, match="101 bytes is over the limit of 100 bytes"):
        read_settings_file(path, 100)
    assert read_settings_file(path, 101) == b"\xff" * 101
    with pytest.raises(ConfigError, match=r"not UTF-8 text: .* at byte 0"):
        read_settings_text(path, 101)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_settings_file(path, 101, private=True)
    for name in ("none", "a\0b"):
        with pytest.raises(ConfigError):
            read_settings_file(tmp_path / name, 101)


def test_a_text_with_half_a_character_is_refused(tmp_path: Path) -> None:
    (tmp_path / "en.json").write_text('{"category.fight": "a \\ud800 b"}')
    with pytest.raises(ConfigError, match="half a character"):
        own_messages(tmp_path)
