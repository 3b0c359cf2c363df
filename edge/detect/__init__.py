"""The violence detector: turns decoded frames into calibrated window signals."""

from edge.detect.detector import Detector, default_model_directory
from edge.detect.manifest import MotionSpec, Thresholds, WindowHead
from edge.detect.pack_files import PackFiles, model_directory, read_pack
from edge.detect.plane import PlaneScaler
from edge.detect.window import DetectWindow, SampleScore

__all__ = [
    "DetectWindow",
    "Detector",
    "MotionSpec",
    "PackFiles",
    "PlaneScaler",
    "SampleScore",
    "Thresholds",
    "WindowHead",
    "default_model_directory",
    "model_directory",
    "read_pack",
]
