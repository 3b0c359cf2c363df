"""Caches scores and reports: one small file for each video, named by the digest of all inputs."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np

from edge.durable_files import write_file
from edge.errors import ConfigError
from edge.policy import Policy
from edge.replay import JudgeSetup
from edge.settings_file import open_regular, read_settings_file
from edge.tuning.track import Track

_FORMAT = 3
_MAX_ENTRY_BYTES = 256 * 1024 * 1024
_ARRAYS = ("alert_ms", "alert_reduced", "alert_logits", "calm_ms", "calm_reduced", "calm_logits", "jumps_ms")


def track_to_bytes(track: Track) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(
        content,
        allow_pickle=False,
        duration_ms=np.int64(track.duration_ms),
        **{name: getattr(track, name) for name in _ARRAYS},
    )
    return content.getvalue()


def track_of_bytes(raw: bytes) -> Track:
    """Raises OSError, KeyError, ValueError, EOFError or BadZipFile for other bytes."""
    with np.load(io.BytesIO(raw), allow_pickle=False) as stored:
        return Track(int(stored["duration_ms"]), *(stored[name] for name in _ARRAYS))


class CachedSetup(JudgeSetup, Protocol):
    """A judging setup that also looks up stored reports."""

    def cached(self) -> Callable[[Path], dict[str, Any] | None]:
        """Returns a function that looks up the report on a file without judging it. Raises ModelError."""
        ...


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/edge-gate/scores``, by default below ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-gate" / "scores"


class ScoreCache:
    """Scores and reports on disk, found by key.

    The key covers the digests of file and model, the sampling settings, and the versions of decoder and
    inference runtime. A damaged entry counts as missing.
    """

    def __init__(self, directory: Path, model_digest: str, policy: Policy) -> None:
        """Creates the directory. Raises OSError if that fails."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        tiers = policy.tiers
        self._settings = json.dumps(
            {
                "format": _FORMAT,
                "model": model_digest,
                "burst_ms": tiers.burst_ms,
                "alert_interval_ms": tiers.alert_interval_ms,
                "blind_limit_ms": tiers.blind_limit_ms,
                "bitrate_jump": tiers.bitrate_jump,
                "ring_bytes": policy.evidence.ring_bytes,
                "av": av.__version__,
                "onnxruntime": version("onnxruntime"),
            },
            sort_keys=True,
        )

    def key(self, video: Path, about: str = "") -> str:
        """Computes the key of a file, which it reads whole. ``about`` adds further inputs. Raises OSError."""
        with open_regular(video) as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        return hashlib.sha256(f"{digest}\n{self._settings}\n{about}".encode()).hexdigest()

    def load(self, key: str) -> Track | None:
        try:
            return track_of_bytes(read_settings_file(self._path(key), _MAX_ENTRY_BYTES))
        except (ConfigError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
            return None

    def store(self, key: str, track: Track) -> None:
        """Writes the entry atomically. Raises OSError."""
        self._write(self._path(key), track_to_bytes(track))

    def load_report(self, key: str) -> dict[str, Any] | None:
        try:
            report = json.loads(read_settings_file(self._path(key, "json"), _MAX_ENTRY_BYTES))
        except (ConfigError, ValueError, RecursionError):
            return None
        return report if isinstance(report, dict) else None

    def store_report(self, key: str, report: dict[str, Any]) -> None:
        self._write(self._path(key, "json"), json.dumps(report).encode())

    def _write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(exist_ok=True)
        write_file(path, content)

    def _path(self, key: str, suffix: str = "npz") -> Path:
        return self._directory / key[:2] / f"{key}.{suffix}"
