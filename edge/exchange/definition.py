"""An exchange as an operator has added it: a file ``NAME.exchange`` beside the bank ``NAME``."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.domain import BankSeverity
from edge.durable_files import appearing
from edge.errors import AlreadyExists, ConfigError, InvalidInput, NotFound
from edge.exchange.kind import AnyKind, KindOptions
from edge.exchange.registry import kind_named
from edge.match import BankPurpose
from edge.match.bank.privacy import give_to_owner_of
from edge.settings_file import read_settings_file

SUFFIX: Final = ".exchange"
MAX_EXCHANGES: Final = 64
"""Most exchanges of a folder."""
MAX_BYTES: Final = 64 * 1024
_MAX_CREDENTIALS_BYTES: Final = 64 * 1024
_NAME: Final = r"^[a-z0-9][a-z0-9_-]{0,39}$"


class Definition(BaseModel):
    """What to fetch, how often, and what it may do here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=_NAME)]
    """Name of the exchange, and of its bank."""
    kind: Annotated[str, Field(min_length=1, max_length=64)]
    options: Annotated[
        dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=2048)]],
        Field(max_length=32),
    ] = {}
    credentials: Path | None = None
    """File with its secrets. It is read at each run."""
    every_s: int = Field(900, ge=10, le=7 * 86_400)
    """Pause between two runs, in seconds."""
    enabled: bool = True
    purpose: BankPurpose = BankPurpose.INVESTIGATE
    """The strongest that its footage may be here. The policy's table chooses within it."""
    severity: BankSeverity = BankSeverity.HIGH
    label: str = Field("known_footage", min_length=1, max_length=64)

    @property
    def kind_record(self) -> AnyKind:
        return kind_named(self.kind)

    def kind_options(self) -> KindOptions:
        """Raises InvalidInput, which names the first wrong option."""
        try:
            options: KindOptions = self.kind_record.options.model_validate(self.options)
        except ValidationError as error:
            where, problem = _first(error)
            raise InvalidInput(f"option {where}", problem.removeprefix("Value error, ")) from None
        return options

    @property
    def feed(self) -> str:
        """Digest of what is fetched. With another one, everything is fetched anew."""
        return hashlib.sha256(json.dumps([self.kind, sorted(self.options.items())]).encode()).hexdigest()[:32]


def exchange_path(path: Path) -> Path:
    """``DIR/NAME.exchange`` for ``DIR/NAME``."""
    return path.with_name(path.name.removesuffix(SUFFIX) + SUFFIX)


def read_definition(path: Path) -> Definition:
    """Raises NotFound, and ConfigError for a file that is none."""
    path = exchange_path(path)
    if not path.exists():
        raise NotFound("exchange", str(path))
    content = read_settings_file(path, MAX_BYTES)
    try:
        found = Definition.model_validate_json(content)
    except ValidationError as error:
        where, problem = _first(error)
        raise ConfigError(f"{path}: {where}: {problem}") from None
    if found.name != path.name.removesuffix(SUFFIX):
        raise ConfigError(f"{path}: is the exchange {found.name!r}; add it anew to rename it")
    return found


def make_definition(**fields: object) -> Definition:
    """A checked definition. Raises InvalidInput, which names the first wrong field."""
    try:
        made = Definition.model_validate(fields)
    except ValidationError as error:
        where, problem = _first(error)
        raise InvalidInput(f"exchange.{where}", problem) from None
    made.kind_options()
    kind = made.kind_record
    if made.credentials is None and kind.needs_credentials:
        raise InvalidInput("credentials", f"{kind.name} wants a file with {kind.credentials}")
    if made.credentials is not None and not kind.credentials:
        raise InvalidInput("credentials", f"{kind.name} has none")
    return made


def _first(error: ValidationError) -> tuple[str, str]:
    """Place and message of the first error."""
    first = error.errors(include_url=False)[0]
    return ".".join(map(str, first["loc"])), first["msg"]


def write_definition(folder: Path, definition: Definition, *, new: bool = False) -> Path:
    """Raises OSError; for a ``new`` one AlreadyExists, and InvalidInput if the folder has enough of them."""
    path = folder / f"{definition.name}{SUFFIX}"
    if new:
        if path.exists():
            raise AlreadyExists(f"exchange {path} exists already")
        if len(exchange_files(folder)) >= MAX_EXCHANGES:
            raise InvalidInput(
                "exchange", f"{folder} has {MAX_EXCHANGES} already, the most that there may be"
            )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with appearing(path) as out:
        give_to_owner_of(folder, out.fileno())
        out.write(definition.model_dump_json(indent=1).encode() + b"\n")
    return path


def exchange_files(folder: Path) -> list[Path]:
    """What is called an exchange in a folder, by name. Empty without such a folder. Raises ConfigError."""
    try:
        with os.scandir(folder) as found:
            return sorted(Path(each.path) for each in found if each.name.endswith(SUFFIX))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror or error}") from None


def read_credentials(definition: Definition) -> str | None:
    """Content of the credentials file. Raises ConfigError: it is missing, or others can read it."""
    if definition.credentials is None:
        return None
    content = read_settings_file(definition.credentials, _MAX_CREDENTIALS_BYTES, private=True)
    try:
        text = content.decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise ConfigError(f"{definition.credentials}: wants {definition.kind_record.credentials}")
    return text
