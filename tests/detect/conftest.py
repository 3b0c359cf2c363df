"""Tiny ONNX-free manifests, and copies of the shipped model to damage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.detect import Detector, default_model_directory


@pytest.fixture(scope="session")
def detector() -> Detector:
    return Detector.load(default_model_directory())


@pytest.fixture
def model_copy(tmp_path: Path) -> Path:
    """A private copy of the shipped model directory: manifest and ONNX file."""
    source = default_model_directory()
    manifest = json.loads((source / "manifest.json").read_text())
    for name in ("manifest.json", manifest["model"]["file"]):
        shutil.copy(source / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def edit_manifest(model_copy: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """Applies a change to the copy's manifest and gives its directory."""

    def edit(change: Callable[[dict[str, Any]], None]) -> Path:
        path = model_copy / "manifest.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
        return model_copy

    return edit
