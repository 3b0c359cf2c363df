"""Writes a fitted network as the int8 ONNX file that ships, and runs such a file on images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from edge.detect.sight.frame_scaler import FrameScaler
from edge.detect.witness_specs import FrameInput
from models.train.quantise import quantise
from models.train.sight.cache import INPUT, export, one_thread
from models.train.sight.index import Picture
from models.train.sight.network import Sight
from models.train.sight.views import LONG, SHORT, Pixels

LOGITS = "logits"
SHAPE = FrameInput(name=INPUT, height=SHORT, width=LONG, turns=True)
"""The input, as the manifest states it."""


def write_model(net: Sight, target: Path, samples: Sequence[Pixels]) -> None:
    """Writes the graph: ``pixels``, uint8 ``(1, 3, H, W)`` → ``logits``, float32 ``(1, 1)``.

    Height and width are multiples of 32. Weights have seven bits, so that every processor gives the same
    scores. Normalisation and pooling stay in float.
    """
    source = target.with_suffix(".fp32.onnx")
    export(net.cpu(), source, LOGITS)
    quantise(source, target, INPUT, samples, in_float="/normalise/", reduced=True)
    source.unlink()


class Seer:
    """A graph on one thread, which sees frames as the gate scales them."""

    def __init__(self, graph: Path) -> None:
        self._session = one_thread(graph)
        self._scaler = FrameScaler(SHAPE)

    def logit(self, frame: av.VideoFrame) -> float:
        pixels = self._scaler.picture(frame).transpose(2, 0, 1)[None]
        return float(self._session.run(None, {INPUT: np.ascontiguousarray(pixels)})[0][0, 0])

    def logits(self, pictures: Sequence[Picture]) -> NDArray[np.float64]:
        opened = (np.asarray(picture.open()) for picture in track(pictures, description="pictures"))
        frames = (av.VideoFrame.from_ndarray(picture, format="rgb24") for picture in opened)
        return np.array([self.logit(frame) for frame in frames])
