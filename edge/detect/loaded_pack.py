"""The models of a pack, loaded by one worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.detect.audio.audio_model import AudioModel
from edge.detect.detector import Detector
from edge.detect.pack_files import PackFiles, read_pack
from edge.detect.sight.frame_model import FrameModel


@dataclass(frozen=True, slots=True)
class LoadedPack:
    """Models that judge together. They are loaded, and swapped, whole."""

    detector: Detector
    audio: AudioModel | None = None
    """None: the pack has no audio model, and nobody listens."""
    sight: FrameModel | None = None
    """None: the pack has no frame model, and nobody looks at single frames."""

    @property
    def digest(self) -> str:
        return self.detector.digest

    @classmethod
    def load(cls, directory: Path) -> LoadedPack:
        """Reads and verifies a pack, and loads its models. Raises ModelError."""
        return cls.of(read_pack(directory))

    @classmethod
    def of(cls, pack: PackFiles) -> LoadedPack:
        """Loads the models of a pack. Raises ModelError."""
        return cls(Detector.of(pack), AudioModel.of(pack), FrameModel.of(pack))
