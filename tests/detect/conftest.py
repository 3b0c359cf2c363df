"""Tiny ONNX-free manifests, and copies of the shipped model to damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.detect import Detector, default_model_directory
from tests.shipped_pack import copy_pack, manifest_of, motion_of, write_manifest


@pytest.fixture(scope="session")
def detector() -> Detector:
    return Detector.load(default_model_directory())


@pytest.fixture
def model_copy(tmp_path: Path) -> Path:
    """A private copy of the shipped pack."""
    return copy_pack(tmp_path)


@pytest.fixture
def edit_manifest(model_copy: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """Applies a change to the motion model's part of the copy's manifest and gives its directory."""

    def edit(change: Callable[[dict[str, Any]], None]) -> Path:
        manifest = manifest_of(model_copy)
        change(motion_of(manifest))
        write_manifest(model_copy, manifest)
        return model_copy

    return edit
