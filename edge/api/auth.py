"""Authentication of callers: bearer tokens from a file, compared in constant time."""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from pydantic import SecretStr

from edge.durable_files import create_file
from edge.errors import ConfigError, SignInUnavailable
from edge.settings_file import read_settings_file, settings_text

MAX_TOKENS = 1000
MAX_FILE_BYTES = 256 * 1024
MIN_TOKEN_CHARACTERS = 16
_SCHEME = "bearer "


class Role(IntEnum):
    """A caller's role. For the Operator service each includes the rights of the lower ones."""

    INGEST = 0
    """An ingest server: calls the Gate service, and nothing of the Operator service."""
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
    """A file of lines ``ROLE NAME TOKEN``; ``#`` starts a comment line. It is read at each sign-in, so that a
    change counts at once, whatever times and size the file has.

    ``refused`` is called with the problem when the file cannot be used, and with None when it can.
    """

    def __init__(self, path: Path, refused: Callable[[str | None], object] = lambda problem: None) -> None:
        self._path = path
        self._refused = refused
        self._content: bytes | None = None
        self._people: Sequence[Person] = ()

    def identify(self, authorization: str) -> Person | None:
        """Returns the person of an ``Authorization`` value, or None. Compares every token in
        constant time.

        Raises SignInUnavailable where the file cannot be used. Callers have not signed in, so they do not
        learn why.
        """
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            return None
        given = authorization[len(_SCHEME) :].strip().encode()
        try:
            people = self.people()
        except ConfigError as error:
            self._refused(str(error))
            raise SignInUnavailable from None
        self._refused(None)
        found = None
        for person in people:
            if hmac.compare_digest(person.token.get_secret_value().encode(), given):
                found = person
        return found

    def people(self) -> Sequence[Person]:
        """Returns all people. Raises ConfigError that names the file and the line."""
        if not os.path.lexists(self._path):
            if self._content is not None:
                raise ConfigError(f"{self._path}: is gone, and nobody can sign in")
            return ()
        content = read_settings_file(self._path, MAX_FILE_BYTES, private=True)
        if content != self._content:
            # Not before it is parsed: a file that is wrong stays wrong when it is read again.
            self._people = _parse(self._path, content)
            self._content = content
        return self._people


def parse_tokens(path: Path) -> tuple[Person, ...]:
    """Reads a token file. Raises ConfigError when others can read it or a line is wrong."""
    return _parse(path, read_settings_file(path, MAX_FILE_BYTES, private=True))


def _parse(path: Path, content: bytes) -> tuple[Person, ...]:
    """The people of a token file. No error quotes from it: where columns are swapped, any word may be a
    token."""
    people: list[Person] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(settings_text(path, content).splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 3:
            raise ConfigError(f"{path}:{number}: expected ROLE NAME TOKEN")
        role, name, token = words
        if role.upper() not in Role.__members__:
            known = ", ".join(member.lower() for member in Role.__members__)
            raise ConfigError(
                f"{path}:{number}: the first word must be a role ({known}): expected ROLE NAME TOKEN"
            )
        if len(token) < MIN_TOKEN_CHARACTERS:
            raise ConfigError(
                f"{path}:{number}: the token has {len(token)} characters, "
                f"at least {MIN_TOKEN_CHARACTERS} are needed"
            )
        if (before := lines.setdefault(token, number)) != number:
            raise ConfigError(f"{path}:{number}: the token is that of line {before}: each needs its own")
        people.append(Person(name, Role[role.upper()], SecretStr(token)))
        if len(people) > MAX_TOKENS:
            raise ConfigError(f"{path}: more than {MAX_TOKENS} tokens")
    return tuple(people)


def ensure_token_file(path: Path) -> bool:
    """Writes a file with one admin token when there is none. Returns whether it was written.

    Raises ConfigError.
    """
    lines = (
        "# ROLE NAME TOKEN; roles: ingest, viewer, platform, reviewer, admin",
        f"admin local {secrets.token_urlsafe(32)}",
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return not path.exists() and create_file(path, "".join(f"{line}\n" for line in lines).encode())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
