"""The violence detector: turns decoded frames into calibrated window signals."""

from edge.detect.detector import Detector, default_model_directory
from edge.detect.manifest import ModelManifest, Thresholds, WindowHead, model_directory, read_manifest
from edge.detect.plane import PlaneScaler
from edge.detect.window import DetectWindow, SampleScore

__all__ = [
    "DetectWindow",
    "Detector",
    "ModelManifest",
    "PlaneScaler",
    "SampleScore",
    "Thresholds",
    "WindowHead",
    "default_model_directory",
    "model_directory",
    "read_manifest",
]
