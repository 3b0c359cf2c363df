"""Tokens: roles, constant-time comparison, file permissions, changes without a restart."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.api.auth import Role, TokenFile, ensure_token_file, parse_tokens
from edge.errors import ConfigError, SignInUnavailable


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
    assert tokens.identify("Bearer cccccccccccccccccc") is not None


@pytest.mark.parametrize(
    ("text", "mode", "problem"),
    [
        ("viewer vera aaaaaaaaaaaaaaaa\n", 0o644, "chmod 600"),
        ("root vera aaaaaaaaaaaaaaaa\n", 0o600, "t:1: the first word must be a role"),
        (
            "viewer vera aaaaaaaaaaaaaaaa\n# two\nadmin anna aaaaaaaaaaaaaaaa\n",
            0o600,
            "t:3: the token is that of line 1",
        ),
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


ANNA = "viewer vera aaaaaaaaaaaaaaaa\n"
BEARER = "Bearer aaaaaaaaaaaaaaaa"


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        (ANNA, 0o640),
        (ANNA, 0o604),
        (f"{ANNA}admin anna aaaaaaaaaaaaaaaa\n", 0o600),
        ("aaaaaaaaaaaaaaaa vera viewer\n", 0o600),
    ],
)
def test_a_file_that_goes_wrong_lets_nobody_in_until_it_is_right(
    tmp_path: Path, text: str, mode: int
) -> None:
    problems: list[str | None] = []
    path = write(tmp_path / "t", ANNA)
    tokens = TokenFile(path, problems.append)
    assert tokens.identify(BEARER) is not None
    write(path, text, mode)
    for _ in range(2):
        with pytest.raises(SignInUnavailable) as caught:
            tokens.identify(BEARER)
        assert str(tmp_path) not in str(caught.value)
        assert caught.value.__cause__ is None
    assert str(path) in (problems[-1] or "")
    write(path, ANNA)
    assert tokens.identify(BEARER) is not None
    assert problems[-1] is None


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    problems: list[str | None] = []
    path = tmp_path / "t"
    tokens = TokenFile(path, problems.append)
    assert tokens.identify(BEARER) is None
    assert problems == [None], "a gate may have no operators"
    write(path, ANNA)
    assert tokens.identify(BEARER) is not None
    path.unlink()
    with pytest.raises(SignInUnavailable):
        tokens.identify(BEARER)
    assert problems[-1] == f"{path}: is gone, and nobody can sign in"


def test_a_change_counts_whatever_the_clock_says(tmp_path: Path) -> None:
    path = write(tmp_path / "t", ANNA)
    tokens = TokenFile(path)
    assert tokens.identify(BEARER) is not None
    before = path.stat()
    with path.open("r+", encoding="utf-8") as file:  # the same file, of the same size
        file.write(ANNA.replace("a" * 16, "b" * 16))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert tokens.identify(BEARER) is None
    assert tokens.identify("Bearer bbbbbbbbbbbbbbbb") is not None


WORDS = st.sampled_from(["admin", "viewer", "anna", "S" * 32, "T" * 20, "short", "#", ""])


@given(st.lists(st.lists(WORDS, max_size=4).map(" ".join), max_size=4).map("\n".join))
def test_no_error_quotes_a_token(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "t", text)
        said = ""
        try:
            parse_tokens(path)
        except ConfigError as error:
            said = str(error)
        assert "SSSS" not in said
        assert "TTTT" not in said


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
