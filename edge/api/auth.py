"""Authentication of the Operator service: bearer tokens from a file, compared in constant time."""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from pydantic import SecretStr

from edge.errors import ConfigError
from edge.settings_file import read_settings_text

MAX_TOKENS = 1000
MAX_FILE_BYTES = 256 * 1024
MIN_TOKEN_CHARACTERS = 16
_SCHEME = "bearer "


class Role(IntEnum):
    """A caller's role. Each includes the rights of the lower ones."""

    VIEWER = 1
    PLATFORM = 2
    """Files appeals for broadcasters."""
    REVIEWER = 3
    ADMIN = 4


@dataclass(frozen=True, slots=True)
class Person:
    """The person behind a token."""

    name: str
    role: Role
    token: SecretStr


class TokenFile:
    """A file of lines ``ROLE NAME TOKEN``; ``#`` starts a comment line. Read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._people: Sequence[Person] = ()

    def identify(self, authorization: str) -> Person | None:
        """Returns the person of an ``Authorization`` value, or None. Compares every token in
        constant time."""
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            return None
        given = authorization[len(_SCHEME) :].strip().encode()
        found = None
        for person in self.people():
            if hmac.compare_digest(person.token.get_secret_value().encode(), given):
                found = person
        return found

    def people(self) -> Sequence[Person]:
        """Returns all people. Raises ConfigError that names the line."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._people = None, ()
            return ()
        except OSError as error:
            raise ConfigError(f"{self._path}: {error.strerror or error}") from None
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._stamp:
            self._people = parse_tokens(self._path)
            self._stamp = stamp
        return self._people


def parse_tokens(path: Path) -> tuple[Person, ...]:
    """Reads a token file. Raises ConfigError when others can read it or a line is wrong."""
    text = read_settings_text(path, MAX_FILE_BYTES, private=True)
    people: list[Person] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 3:
            raise ConfigError(f"{path}:{number}: expected ROLE NAME TOKEN")
        role, name, token = words
        if role.upper() not in Role.__members__:
            known = ", ".join(member.lower() for member in Role.__members__)
            raise ConfigError(f"{path}:{number}: role {role!r} is none of {known}")
        if len(token) < MIN_TOKEN_CHARACTERS:
            raise ConfigError(
                f"{path}:{number}: the token has {len(token)} characters, "
                f"at least {MIN_TOKEN_CHARACTERS} are needed"
            )
        people.append(Person(name, Role[role.upper()], SecretStr(token)))
        if len(people) > MAX_TOKENS:
            raise ConfigError(f"{path}: more than {MAX_TOKENS} tokens")
    return tuple(people)


def ensure_token_file(path: Path) -> bool:
    """Writes a file with one admin token when there is none. Returns whether it was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("# ROLE NAME TOKEN; roles: viewer, platform, reviewer, admin\n")
        file.write(f"admin local {secrets.token_urlsafe(32)}\n")
    return True
