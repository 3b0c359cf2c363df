"""Private copies of the shipped pack, to change and to damage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from edge.detect import default_model_directory, read_pack
from edge.detect.pack_files import MANIFEST_NAME


def copy_pack(place: Path, **values: Any) -> Path:
    """Copies the shipped pack to ``place``, which is returned, with other values in its manifest."""
    shipped = read_pack(default_model_directory())
    place.mkdir(exist_ok=True)
    for name in shipped.models:
        shutil.copy(shipped.directory / name, place)
    write_manifest(place, json.loads(shipped.content) | values)
    return place


def manifest_of(pack: Path) -> dict[str, Any]:
    """The manifest of a pack, as it is written."""
    found: dict[str, Any] = json.loads((pack / MANIFEST_NAME).read_text())
    return found


def motion_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """The motion model's part of a manifest, to change in place."""
    return next(model for model in manifest["models"] if model["kind"] == "motion")


def write_manifest(pack: Path, manifest: dict[str, Any]) -> None:
    (pack / MANIFEST_NAME).write_text(json.dumps(manifest))


def deaf_pack(place: Path) -> Path:
    """A copy of the shipped pack without an audio model. Returns ``place``."""
    manifest = manifest_of(copy_pack(place))
    write_manifest(place, manifest | {"models": [motion_of(manifest)]})
    return place
