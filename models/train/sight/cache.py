"""Computes what the frozen blocks see of every view once, and keeps it on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from models.train.quantise import quantise
from models.train.sight.drawn import View, Views
from models.train.sight.index import Picture
from models.train.sight.network import Lower, backbone
from models.train.sight.views import LONG, SHORT, Pixels, altered, shape_for, whole

CACHE = Path(os.environ.get("EDGE_SIGHT_CACHE", Path(__file__).with_name(".cache")))
SEED = 20261129
SHARD = 64
"""Images of one file."""
PASSES = 4
"""Passes over all images. Each gives every image more views, so training can begin after the first."""
ALTERED = {
    "firearm": (1, 2, 2, 2),
    "game": (1, 1, 1, 1),
    "tool": (1, 1, 1, 0),
    "knife": (1, 0, 1, 0),
    "calm": (0, 1, 0, 1),
}
"""Altered views that each pass adds to an image. The first pass gives the whole image as well."""
LEAST_KEPT = {"firearm": 0.55, "game": 0.15, "tool": 0.3, "knife": 0.3, "calm": 0.3}
"""The least share of an image that a crop keeps. Less could lose the weapon."""
GROUND_SOURCE = "imagenet-sample"
CALIBRATED_ON = 40
INPUT, OUTPUT = "pixels", "seen"
OPSET = 17


def prepare(pictures: list[Picture], passes: int = PASSES) -> None:
    """Makes the shards that are missing, pass by pass."""
    CACHE.mkdir(parents=True, exist_ok=True)
    grounds = [picture for picture in pictures if picture.source == GROUND_SOURCE]
    lower = Frozen(calibration_samples(pictures))
    for number in range(passes):
        starts = [at for at in range(0, len(pictures), SHARD) if not _shard(pictures, at, number).exists()]
        for start in track(starts, description=f"views, pass {number + 1} of {passes}"):
            path = _shard(pictures, start, number)
            part = path.with_suffix(".part.npz")
            np.savez(part, **_made(pictures[start : start + SHARD], number, grounds, lower))  # type: ignore[arg-type]
            part.rename(path)


def load(pictures: list[Picture]) -> Views:
    """Reads every shard there is into memory. Raises FileNotFoundError before the first pass is complete."""
    views: list[View] = []
    features: dict[bool, list[NDArray[np.float16]]] = {False: [], True: []}
    rows = {False: 0, True: 0}
    for number in range(PASSES):
        for start in range(0, len(pictures), SHARD):
            path = _shard(pictures, start, number)
            if number and not path.exists():
                continue
            with np.load(path) as shard:
                for upright in (False, True):
                    if f"features{upright:d}" not in shard:
                        continue
                    features[upright].append(shard[f"features{upright:d}"])
                    for index, view in shard[f"views{upright:d}"]:
                        views.append(View(start + int(index), int(view), upright, rows[upright]))
                        rows[upright] += 1
    return Views(views, {shape: np.concatenate(parts) for shape, parts in features.items()})


def calibration_samples(pictures: list[Picture]) -> list[Pixels]:
    """uint8 ``(3, H, W)``, all lying, of whole images that are used for training, evenly taken."""
    used = [picture for picture in pictures if picture.role == "train"]
    opened = [picture.open() for picture in used[:: max(1, len(used) // CALIBRATED_ON)]]
    return [whole(picture, (SHORT, LONG)).transpose(2, 0, 1) for picture in opened]


class Frozen:
    """The frozen blocks in int8, as they ship: so the trained ones adapt to its effects."""

    def __init__(self, samples: Sequence[Pixels]) -> None:
        graph = CACHE / "lower-int8.onnx"
        if not graph.exists():
            source = CACHE / "lower.onnx"
            export(Lower(backbone()), source, OUTPUT)
            part = graph.with_suffix(".part.onnx")
            quantise(source, part, INPUT, samples, in_float="/normalise/", reduced=True)
            part.rename(graph)
        self._session = one_thread(graph)

    def __call__(self, pixels: Pixels) -> NDArray[np.float16]:
        """uint8 ``(H, W, 3)`` → ``(112, h, w)``."""
        (seen,) = self._session.run(None, {INPUT: pixels.transpose(2, 0, 1)[None]})
        return np.asarray(seen[0], dtype=np.float16)


def export(module: torch.nn.Module, target: Path, output: str) -> None:
    """Writes a float graph for one image of any size that is a multiple of 32."""
    torch.onnx.export(
        module.eval(),
        (torch.zeros(1, 3, SHORT, LONG, dtype=torch.uint8),),
        str(target),
        input_names=[INPUT],
        output_names=[output],
        dynamic_axes={INPUT: {2: "height", 3: "width"}},
        opset_version=OPSET,
        dynamo=False,
    )


def one_thread(graph: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


def _made(
    pictures: list[Picture], number: int, grounds: list[Picture], lower: Frozen
) -> dict[str, NDArray[np.generic]]:
    rows: dict[bool, list[tuple[int, int]]] = {False: [], True: []}
    seen: dict[bool, list[NDArray[np.float16]]] = {False: [], True: []}
    for index, picture in enumerate(pictures):
        for view, pixels in _views(picture, number, grounds):
            upright = pixels.shape[0] > pixels.shape[1]
            rows[upright].append((index, view))
            seen[upright].append(lower(pixels))
    stored: dict[str, NDArray[np.generic]] = {}
    for upright in (False, True):
        if rows[upright]:
            stored[f"views{upright:d}"] = np.array(rows[upright])
            stored[f"features{upright:d}"] = np.stack(seen[upright])
    return stored


def _views(picture: Picture, number: int, grounds: list[Picture]) -> list[tuple[int, Pixels]]:
    rng = np.random.default_rng([SEED, number, int(picture.key, 16)])

    def ground() -> Image.Image:
        return grounds[int(rng.integers(len(grounds)))].open()

    count = ALTERED[picture.label]
    if not count[number] and number:
        return []
    opened = picture.open()
    found = [] if number else [(0, whole(opened, shape_for(opened)))]
    first = 1 + sum(count[:number])
    least = LEAST_KEPT[picture.label]
    found += [(view, altered(opened, rng, least, ground)) for view in range(first, first + count[number])]
    return found


def _shard(pictures: list[Picture], start: int, number: int) -> Path:
    return CACHE / f"views-{number}-{start:06d}-{pictures[start].key}.npz"
