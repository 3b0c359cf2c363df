"""Pooled backbone features of every dense sample of every clip, on disk."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from models.train.cache import CACHE, cached_planes
from models.train.index import DATA, Clip
from models.train.network import Backbone, Differences
from models.train.sampling import triples

BATCH = 16


def clip_features(clips: list[Clip], size: int) -> list[NDArray[np.float32]]:
    """One float32 ``(S, 1280)`` a clip, in the clips' order; resumes where an earlier run stopped."""
    folder = CACHE / f"features-{size}"
    folder.mkdir(parents=True, exist_ok=True)
    network = torch.nn.Sequential(Differences(), Backbone(size)).eval()
    features = []
    for clip in track(clips, description="features"):
        stored = folder / f"{clip.key}.npy"
        if not stored.exists():
            part = stored.with_suffix(".part.npy")
            np.save(part, _features(network, clip, size))
            part.rename(stored)
        features.append(np.load(stored))
    return features


def _features(network: torch.nn.Module, clip: Clip, size: int) -> NDArray[np.float32]:
    planes = cached_planes(clip.key, DATA / clip.path, size)
    indices = triples(planes.pts_ms)
    batches = []
    with torch.inference_mode():
        for start in range(0, len(indices), BATCH):
            batch = torch.from_numpy(planes.planes[indices[start : start + BATCH]])
            batches.append(network(batch).numpy())
    return np.concatenate(batches)
