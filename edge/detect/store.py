"""Keeps a verified copy of the model in force, in the gate's own folder.

Every worker reads the copy, now and after a restart. So a model folder that is torn, replaced or upgraded
under a running gate changes nothing. While it is damaged, the last good copy judges.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from edge.detect.pack_files import MANIFEST_NAME, PackFiles, read_pack
from edge.durable_files import sync_folder, write_file
from edge.errors import ConfigError, ModelError
from edge.settings_file import read_settings_file

_CHOICE = "in-force.json"
_LAST_GOOD = "configured.json"
_MAX_NOTE_BYTES = 64 * 1024


class Choice(BaseModel):
    """Which model is in force, and who put it in force, when and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    configured: str
    """Model folder in the settings at that time. Settings that changed since then take precedence."""
    set_wall_ms: int
    set_by: str
    reason: str
    sample_ms: float


class _LastGood(BaseModel):
    """The model of the settings as it was copied last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str
    configured: str


class ModelStore:
    """Keeps each model in ``folder/DIGEST/``, and which of them is in force."""

    def __init__(self, folder: Path, configured: Path) -> None:
        self.folder = folder
        self.configured = configured

    def take(self, directory: Path) -> PackFiles:
        """Verifies a pack and copies it into the store. Returns the copy. Raises ModelError."""
        pack = read_pack(directory)
        digest, place = pack.digest, self.folder / pack.digest
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with suppress(ModelError):
                if read_pack(place).digest == digest:
                    return replace(pack, directory=place)
            partial = self.folder / f".{digest}.{os.getpid()}"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            for name, model in pack.models.items():
                write_file(partial / name, model)
            write_file(partial / MANIFEST_NAME, pack.content)
            shutil.rmtree(place, ignore_errors=True)
            partial.replace(place)
            sync_folder(self.folder)
        except OSError as error:
            raise ModelError(f"{self.folder}: cannot keep a copy: {error.strerror or error}") from error
        return replace(pack, directory=place)

    def verified_copy(self) -> tuple[Path, str]:
        """Returns a folder with a verified copy of the model in force, and what is wrong with its original.

        While the model of the settings is damaged, its last good copy is returned. While no copy can be
        made, the folder of the settings is. Raises ModelError when there is no good model.
        """
        if self.choice() is not None:
            return self.in_force(), ""
        try:
            pack = self.take(self.configured)
        except ModelError as error:
            return self._other_than_taken(), str(error)
        noted = _LastGood(digest=pack.digest, configured=str(self.configured))
        with suppress(OSError):
            if noted != self._last_good():
                self._note(_LAST_GOOD, noted)
        return pack.directory, ""

    def damage(self) -> str:
        """Says what is wrong with the files of the model in force. Empty if nothing."""
        try:
            read_pack(self.in_force())
        except ModelError as error:
            return str(error)
        return ""

    def _other_than_taken(self) -> Path:
        last = self._last_good()
        if last is not None and last.configured == str(self.configured):
            with suppress(ModelError):
                if read_pack(self.folder / last.digest).digest == last.digest:
                    return self.folder / last.digest
        read_pack(self.configured)
        return self.configured

    def _last_good(self) -> _LastGood | None:
        try:
            return _LastGood.model_validate_json(
                read_settings_file(self.folder / _LAST_GOOD, _MAX_NOTE_BYTES)
            )
        except (ConfigError, ValidationError):
            return None

    def _note(self, name: str, content: BaseModel) -> None:
        write_file(self.folder / name, content.model_dump_json(indent=1).encode())

    def choose(self, choice: Choice | None) -> None:
        """Stores the choice durably. None means the model of the settings. Raises ModelError."""
        try:
            if choice is None:
                (self.folder / _CHOICE).unlink(missing_ok=True)
                sync_folder(self.folder)
            else:
                self._note(_CHOICE, choice)
        except OSError as error:
            raise ModelError(f"{self.folder}: cannot note the model: {error.strerror or error}") from error

    def tidy(self, *digests: str) -> None:
        """Removes all copies except these and the last good one of the settings."""
        last = self._last_good()
        digests += () if last is None else (last.digest,)
        with suppress(OSError):
            for place in self.folder.iterdir():
                if place.is_dir() and place.name not in digests:
                    shutil.rmtree(place, ignore_errors=True)

    def choice(self) -> Choice | None:
        """Returns the choice. None means the model of the settings. Raises ModelError when the file is
        damaged."""
        path = self.folder / _CHOICE
        try:
            if not path.exists():
                return None
            choice = Choice.model_validate_json(read_settings_file(path, _MAX_NOTE_BYTES))
        except (OSError, ConfigError, ValidationError) as error:
            raise ModelError(f"{path}: {error}; remove it to have the model of the settings judge") from error
        return choice if choice.configured == str(self.configured) else None

    def in_force(self) -> Path:
        """Returns the folder of the model in force. Raises ModelError when that model is damaged."""
        choice = self.choice()
        if choice is None:
            return self.configured
        place = self.folder / choice.digest
        digest = read_pack(place).digest
        if digest != choice.digest:
            raise ModelError(f"{place}: digest {digest}, {choice.digest} was put in force")
        return place
