"""YAMNet in both of its published forms becomes the same ONNX network; anything else is refused."""

from __future__ import annotations

import itertools
import os
from functools import cache
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.detect.audio.log_mel import log_mel, mel_frames, mel_weights
from edge.detect.importing.yamnet import CLASSES, EMBEDDING, ConvertedModel, convert_yamnet
from edge.errors import ModelError
from tests.detect.importing.tiny_tflite import TinyOperator, TinyTensor, tiny_tflite

if not os.environ.get("CI"):  # there nothing may be missing
    pytest.importorskip("tflite")
    pytest.importorskip("onnx")
CLIPS = (
    "gunfire__urbansound8k__2837__161195-6-0-0.ogg",
    "gunfire__yt-guns__3073__3_92_.ogg",
    "calm__esc10__3916__1-59513-A.ogg",
)
LAYERS = (
    (32, 2),
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)
"""Channels of each convolution, and the step of what comes before it: the first one, then depthwise ones."""


def patches(path: Path) -> npt.NDArray[np.float32]:
    with av.open(str(path)) as media:
        sound = np.concatenate([frame.to_ndarray().reshape(-1) for frame in media.decode(audio=0)])
    frames = log_mel(mel_frames(sound.astype(np.float32)))
    return np.stack([frames[n : n + 96] for n in range(0, len(frames) - 95, 48)])


def test_the_published_file_scores_as_the_reference_does(shared: Path) -> None:
    teacher = shared / "data" / "sounds" / "teacher"
    converted = convert_yamnet(teacher / "yamnet_spectra_in.tflite")
    assert not converted.takes_waveform
    ours, reference = (
        ort.InferenceSession(converted.onnx),
        ort.InferenceSession(str(teacher / "yamnet_fp32.onnx")),
    )
    best = {}
    for name in CLIPS:
        seen = patches(shared / "data" / "sounds" / "clips" / name)
        scores, embedding = ours.run(["scores", "embedding"], {"log_mel": seen})
        wanted, wanted_embedding = reference.run(["scores", "embedding"], {"x": seen})
        assert np.abs(scores - wanted).max() < 0.001
        assert np.abs(embedding - wanted_embedding).max() < 0.01
        best[name.split("__")[0]] = scores[:, 421:424].max()
    assert best["gunfire"] > 0.9
    assert best["calm"] < 0.3


def network(given: int, first: int) -> tuple[list[TinyTensor], list[TinyOperator]]:
    """YAMNet's layers with random weights. ``given`` is the tensor of the patch, ``first`` the next free
    one."""
    random = np.random.default_rng(0)
    tensors: list[TinyTensor] = []
    operators: list[TinyOperator] = []

    def add(tensor: TinyTensor) -> int:
        tensors.append(tensor)
        return first + len(tensors) - 1

    def layer(kind: str, before: int, shape: tuple[int, ...], step: int) -> int:
        values = random.integers(-9, 9, shape, dtype=np.int8)
        weight = add(TinyTensor(shape, values, [0.02]))
        result = add(TinyTensor((1, 1, 1, 1)))
        settings = {
            "Padding": 0,
            "StrideH": step,
            "StrideW": step,
            "DilationHFactor": 1,
            "DilationWFactor": 1,
        }
        settings["FusedActivationFunction"] = 3
        operators.append(TinyOperator(kind, (before, weight, -1), (result,), settings))
        return result

    at = layer("CONV_2D", given, (32, 3, 3, 1), 2)
    for (before, _), (channels, step) in itertools.pairwise(LAYERS):
        at = layer("DEPTHWISE_CONV_2D", at, (1, 3, 3, before), step)
        at = layer("CONV_2D", at, (channels, 1, 1, before), 1)
    axes = add(TinyTensor((2,), np.array([1, 2], np.int32)))
    mean, dense = add(TinyTensor((1, EMBEDDING))), add(TinyTensor((1, CLASSES)))
    scores = add(TinyTensor((1, CLASSES)))
    matrix = add(
        TinyTensor((CLASSES, EMBEDDING), random.integers(-9, 9, (CLASSES, EMBEDDING), dtype=np.int8), [0.01])
    )
    operators += [
        TinyOperator("MEAN", (at, axes), (mean,), {"KeepDims": 0}),
        TinyOperator("FULLY_CONNECTED", (mean, matrix, -1), (dense,), {"FusedActivationFunction": 0}),
        TinyOperator("LOGISTIC", (dense,), (scores,)),
    ]
    return tensors, operators


def spectra_form() -> bytes:
    tensors, operators = network(0, 1)
    front = TinyTensor((1, 96, 64, 1))
    return tiny_tflite([front, *tensors], operators, [0], [operators[-1].outputs[0]])


def waveform_form(bands: npt.NDArray[np.float32]) -> bytes:
    """Its front, as far as it matters here: a product with the mel bands, then a patch."""
    tensors, operators = network(3, 4)
    front = [
        TinyTensor((15600,)),
        TinyTensor(bands.shape, np.ascontiguousarray(bands)),
        TinyTensor((98, 64)),
        TinyTensor((1, 96, 64, 1)),
    ]
    before = [
        TinyOperator("FULLY_CONNECTED", (0, 1, -1), (2,), {"FusedActivationFunction": 0}),
        TinyOperator("STRIDED_SLICE", (2,), (3,)),
    ]
    outputs = [operators[-1].outputs[0], 2]
    return tiny_tflite([*front, *tensors], [*before, *operators], [0], outputs)


def converted(content: bytes, folder: Path) -> ConvertedModel:
    path = folder / "a.tflite"
    path.write_bytes(content)
    return convert_yamnet(path)


def test_both_forms_are_one_network(tmp_path: Path) -> None:
    spectra, waveform = (
        converted(spectra_form(), tmp_path),
        converted(waveform_form(mel_weights().T), tmp_path),
    )
    assert (spectra.takes_waveform, waveform.takes_waveform) == (False, True)
    seen = np.random.default_rng(1).standard_normal((3, 96, 64)).astype(np.float32)
    one, other = (
        ort.InferenceSession(form.onnx).run(None, {"log_mel": seen}) for form in (spectra, waveform)
    )
    assert [part.shape for part in one] == [(3, CLASSES), (3, EMBEDDING)]
    assert all(np.array_equal(first, second) for first, second in zip(one, other, strict=True))


def test_other_mel_bands_are_refused(tmp_path: Path) -> None:
    bands = np.roll(mel_weights(), 3, axis=0).T
    with pytest.raises(ModelError, match="mel bands are not YAMNet's"):
        converted(waveform_form(bands), tmp_path)


@cache
def small_form() -> bytes:
    tensors = [
        TinyTensor((1, 96, 64, 1)),
        TinyTensor((4, 3, 3, 1), np.ones((4, 3, 3, 1), np.int8), [0.1] * 4),
    ]
    settings = {"StrideH": 2, "StrideW": 2, "DilationHFactor": 1, "DilationWFactor": 1}
    operators = [TinyOperator("CONV_2D", (0, 1, -1), (2,), settings)]
    return tiny_tflite([*tensors, TinyTensor((1, 48, 32, 4))], operators, [0], [2])


def test_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"a\.tflite: not YAMNet as its authors publish it: 1 layers CONV_2D"
    ):
        converted(small_form(), tmp_path)


@settings(deadline=None, max_examples=200)
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.integers(0, 900),
)
def test_a_damaged_file_is_one_error(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], cut: int
) -> None:
    content = bytearray(small_form())
    for at, value in changes:
        content[at % len(content)] = value
    with pytest.raises(ModelError):
        converted(bytes(content[: len(content) - cut]), tmp_path_factory.getbasetemp())
