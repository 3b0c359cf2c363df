"""The models of a pack, loaded by one worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.detect.detector import Detector
from edge.detect.pack_files import read_pack
from edge.detect.sound.sound_model import SoundModel


@dataclass(frozen=True, slots=True)
class LoadedPack:
    """Models that judge together. They are loaded, and swapped, whole."""

    detector: Detector
    sound: SoundModel | None = None
    """None: the pack has no audio model, and nobody listens."""

    @property
    def digest(self) -> str:
        return self.detector.digest

    @classmethod
    def load(cls, directory: Path) -> LoadedPack:
        """Reads and verifies a pack, and loads its models. Raises ModelError."""
        pack = read_pack(directory)
        return cls(Detector.of(pack), SoundModel.of(pack))
