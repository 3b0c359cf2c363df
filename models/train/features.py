"""Computes embeddings of every dense sample of every clip with an ONNX graph, and keeps them on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from edge.detect import focus, session, steady
from models.train import samples
from models.train.cache import CACHE
from models.train.index import Clip


def clip_features(
    clips: list[Clip], graph: Path, title: str, shake: bool = False
) -> list[NDArray[np.float32]]:
    """One float32 ``(S, D)`` for each clip, in the clips' order. Resumes where an earlier run stopped.

    The head learns from features of the shipped graph, so it adapts to the effects of int8.
    """
    content = graph.read_bytes()
    preparation = b"".join(
        Path(module.__file__ or "").read_bytes() for module in (focus, session, steady, samples)
    )
    folder = CACHE / f"features-{hashlib.sha256(content + preparation).hexdigest()[:16]}{'-shaken' * shake}"
    folder.mkdir(parents=True, exist_ok=True)
    opened = session.open_session(content, graph, precise=True)
    (name,) = (entry.name for entry in opened.get_inputs())
    features = []
    for clip in track(clips, description=title):
        stored = folder / f"{clip.key}.npy"
        if not stored.exists():
            crops = samples.clip_samples(clip, shake)
            rows = [opened.run(None, {name: crop[None]})[0][0] for crop in crops]
            part = stored.with_suffix(".part.npy")
            np.save(part, np.stack(rows))
            part.rename(stored)
        features.append(np.load(stored))
    return features
