"""Tokens: roles, constant-time comparison, file permissions, changes without a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.api.auth import Role, TokenFile, ensure_token_file, parse_tokens
from edge.errors import ConfigError


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_each_token_has_its_person(tmp_path: Path) -> None:
    path = write(tmp_path / "t", "# people\nviewer vera aaaaaaaaaaaaaaaa\n\nadmin anna bbbbbbbbbbbbbbbb\n")
    tokens = TokenFile(path)
    person = tokens.identify("Bearer bbbbbbbbbbbbbbbb")
    assert person is not None
    assert (person.name, person.role) == ("anna", Role.ADMIN)
    assert "bbbb" not in repr(person)
    assert tokens.identify("bearer aaaaaaaaaaaaaaaa") is not None
    for wrong in ("", "Bearer", "Bearer ", "Basic bbbbbbbbbbbbbbbb", "Bearer bbbbbbbbbbbbbbb", "Bearer é"):
        assert tokens.identify(wrong) is None


def test_a_changed_file_counts_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "t", "viewer vera aaaaaaaaaaaaaaaa\n")
    tokens = TokenFile(path)
    assert tokens.identify("Bearer aaaaaaaaaaaaaaaa") is not None
    write(path, "viewer vera cccccccccccccccccc\n")
    assert tokens.identify("Bearer aaaaaaaaaaaaaaaa") is None
    path.unlink()
    assert tokens.identify("Bearer cccccccccccccccccc") is None


@pytest.mark.parametrize(
    ("text", "mode", "problem"),
    [
        ("viewer vera aaaaaaaaaaaaaaaa\n", 0o644, "chmod 600"),
        ("root vera aaaaaaaaaaaaaaaa\n", 0o600, "t:1: role 'root'"),
        ("viewer vera\n", 0o600, "t:1: expected"),
        ("\nviewer vera short\n", 0o600, "t:2: the token has 5"),
    ],
)
def test_wrong_files_are_refused_with_the_line(tmp_path: Path, text: str, mode: int, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse_tokens(write(tmp_path / "t", text, mode))


def test_the_first_token_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "operator.tokens"
    assert ensure_token_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_text(encoding="utf-8")
    assert not ensure_token_file(path)
    assert path.read_text(encoding="utf-8") == before
    assert parse_tokens(path)[0].role is Role.ADMIN


def test_unreadable_and_large_files_are_config_errors(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"viewer \xff\xfe token")
    binary.chmod(0o600)
    with pytest.raises(ConfigError, match="not UTF-8"):
        parse_tokens(binary)
    large = write(tmp_path / "large", "# " + "x" * 300_000)
    with pytest.raises(ConfigError, match="limit of 262144"):
        parse_tokens(large)
    with pytest.raises(ConfigError, match="No such file"):
        parse_tokens(tmp_path / "absent")
