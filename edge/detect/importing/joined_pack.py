"""Puts a model into a model pack."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from edge.detect.pack_files import MANIFEST_NAME, SCHEMA, PackFiles, PackManifest, read_pack
from edge.detect.witness_specs import AudioSpec, FrameSpec
from edge.durable_files import sync_folder, write_file
from edge.errors import InvalidInput, ModelError

_PARTIAL: Final = ".partial"


def join_pack(base: PackFiles, spec: AudioSpec | FrameSpec, model: bytes, into: Path) -> PackFiles:
    """Writes a new pack: that of ``base``, with this model in place of those of its kind.

    ``into`` is a folder that does not exist or is empty. The pack appears whole or not at all, and is read
    and verified again. Raises InvalidInput for a folder with files, and ModelError where the pack would be
    none or cannot be written.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise InvalidInput("--into", f"{into} is not empty: name a folder that does not exist yet")
    kept = tuple(other for other in base.manifest.models if other.kind != spec.kind)
    try:
        manifest = PackManifest(
            schema_version=SCHEMA,
            name=base.manifest.name,
            version=f"{base.manifest.version}+{spec.name}"[:32],
            models=(*kept, spec),
        )
    except ValueError as error:
        raise ModelError(f"{into}: {error}") from None
    partial = into.with_name(into.name + _PARTIAL)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for other in kept:
            write_file(partial / other.model.file, base.models[other.model.file])
        write_file(partial / spec.model.file, model)
        write_file(partial / MANIFEST_NAME, manifest.model_dump_json(indent=1).encode())
        partial.replace(into)
        sync_folder(into.parent)
    except OSError as error:
        raise ModelError(f"{into}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return read_pack(into)
