"""Views of an image: the whole one as the gate sees it, and altered ones to learn from."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

Pixels = NDArray[np.uint8]
LONG, SHORT = 288, 160
"""Sides of the input. Both are multiples of 32, and an image of 16:9 fills nearly all of it."""


def shape_for(picture: Image.Image) -> tuple[int, int]:
    """Height and width of the input for an image, upright or lying."""
    return (SHORT, LONG) if picture.width >= picture.height else (LONG, SHORT)


def whole(picture: Image.Image, shape: tuple[int, int]) -> Pixels:
    """The image at the top left of a black input, as large as fits: uint8 ``(height, width, 3)``."""
    return _placed(picture, shape, 1.0, (0.0, 0.0), Image.new("RGB", (shape[1], shape[0])))


def altered(
    picture: Image.Image,
    rng: np.random.Generator,
    least_kept: float,
    ground: Callable[[], Image.Image],
) -> Pixels:
    """A view to learn from: cropped, placed, coloured, blurred and compressed by chance.

    The crop keeps at least ``least_kept`` of the image. ``ground`` gives another image, on which a
    smaller view is placed at times.
    """
    picture = _crop(picture, rng, least_kept)
    if rng.random() < 0.5:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.25:
        picture = picture.rotate(float(rng.uniform(-12, 12)), Image.Resampling.BILINEAR, expand=False)
    shape = shape_for(picture) if rng.random() < 0.85 else (SHORT, LONG)
    canvas, size = Image.new("RGB", (shape[1], shape[0])), 1.0
    if rng.random() < 0.35:
        size = float(rng.uniform(0.45, 0.95))
        canvas = _ground(picture, canvas, rng, ground)
    at = (float(rng.random()), float(rng.random())) if rng.random() < 0.7 else (0.0, 0.0)
    view = Image.fromarray(_placed(picture, shape, size, at, canvas))
    return np.asarray(_compressed(_blurred(_coloured(view, rng), rng), rng), dtype=np.uint8)


def _crop(picture: Image.Image, rng: np.random.Generator, least_kept: float) -> Image.Image:
    if rng.random() < 0.2:
        return picture
    share = float(rng.uniform(least_kept, 1.0))
    stretch = float(np.exp(rng.uniform(-0.3, 0.3)))
    width = min(picture.width, max(16, round(picture.width * np.sqrt(share) * stretch)))
    height = min(picture.height, max(16, round(picture.height * np.sqrt(share) / stretch)))
    left = int(rng.integers(0, picture.width - width + 1))
    top = int(rng.integers(0, picture.height - height + 1))
    return picture.crop((left, top, left + width, top + height))


def _ground(
    picture: Image.Image, canvas: Image.Image, rng: np.random.Generator, ground: Callable[[], Image.Image]
) -> Image.Image:
    kind = rng.random()
    if kind < 0.55:
        return ground().resize(canvas.size, Image.Resampling.BILINEAR)
    if kind < 0.85:
        return picture.resize(canvas.size, Image.Resampling.BILINEAR).filter(ImageFilter.GaussianBlur(12))
    return canvas


def _placed(
    picture: Image.Image,
    shape: tuple[int, int],
    size: float,
    at: tuple[float, float],
    canvas: Image.Image,
) -> Pixels:
    height, width = shape
    scale = min(width / picture.width, height / picture.height) * size
    fitted = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    small = picture.resize(fitted, Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR)
    canvas = canvas.copy()
    canvas.paste(small, (round((width - fitted[0]) * at[0]), round((height - fitted[1]) * at[1])))
    return np.asarray(canvas, dtype=np.uint8)


def _coloured(view: Image.Image, rng: np.random.Generator) -> Image.Image:
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        if rng.random() < 0.6:
            view = enhance(view).enhance(float(np.exp(rng.uniform(-0.5, 0.5))))
    if rng.random() < 0.1:
        view = view.convert("L").convert("RGB")
    if rng.random() < 0.4:
        # Film is graded: a gamma and a tint for each channel.
        values = np.asarray(view, dtype=np.float32) / 255.0
        gamma = np.exp(rng.uniform(-0.35, 0.35) + rng.uniform(-0.15, 0.15, 3)).astype(np.float32)
        tint = rng.uniform(0.85, 1.1, 3).astype(np.float32)
        view = Image.fromarray((np.clip(values**gamma * tint, 0, 1) * 255).astype(np.uint8))
    return view


def _blurred(view: Image.Image, rng: np.random.Generator) -> Image.Image:
    kind = rng.random()
    if kind < 0.2:
        return view.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.8))))
    if kind < 0.4:
        factor = float(rng.uniform(0.35, 0.9))
        small = view.resize((round(view.width * factor), round(view.height * factor)), Image.Resampling.BOX)
        return small.resize(view.size, Image.Resampling.BILINEAR)
    if kind < 0.5:
        steps = int(rng.integers(2, 7))
        down = bool(rng.random() < 0.5)
        values = np.asarray(view, dtype=np.float32)
        moved = [np.roll(values, step, axis=0 if down else 1) for step in range(steps)]
        return Image.fromarray((np.sum(moved, axis=0) / steps).astype(np.uint8))
    return view


def _compressed(view: Image.Image, rng: np.random.Generator) -> Image.Image:
    if rng.random() < 0.3:
        values = np.asarray(view, dtype=np.float32)
        values = values + rng.normal(0, rng.uniform(2, 14), values.shape).astype(np.float32)
        view = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    if rng.random() < 0.6:
        written = io.BytesIO()
        view.save(written, "JPEG", quality=int(rng.integers(12, 85)))
        view = Image.open(written).convert("RGB")
    return view
