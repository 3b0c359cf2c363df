"""From samples to signals with a real session: what begins is heard, what is over is said to be over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edge.detect.audio.audio_model import AudioModel
from edge.detect.audio.hearing import MOST_WAITING, StreamHearing
from edge.detect.audio.log_mel import RATE
from edge.detect.witness_specs import RowOutput, SpectrumInput
from edge.domain import Signal
from edge.errors import ModelError
from tests.detect.audio.tiny_audio_model import OUTPUT, tiny_audio_onnx, tiny_spec
from tests.evidence.sounds import bursts

Samples = npt.NDArray[np.float32]
ALL = ("gunfire", "explosion", "scream")


@pytest.fixture(scope="module")
def model() -> AudioModel:
    return AudioModel.load(tiny_spec(), tiny_audio_onnx(), Path("tiny.onnx"))


def heard(hearing: StreamHearing, samples: Samples, start_ms: float = 0.0) -> list[tuple[Signal, ...]]:
    """The signals of each window that was judged."""
    found = []
    for begin in range(0, len(samples), RATE // 2):
        part = samples[begin : begin + RATE // 2]
        hearing.add_samples(part, start_ms + 1000 * begin / RATE, restarted=begin == 0)
        found += [said for window in hearing.waiting() if (said := hearing.judge(window))]
    return found


def best(found: list[tuple[Signal, ...]], category: str) -> float:
    return max((s.score for said in found for s in said if s.category == category), default=0.0)


def scream(seconds: float) -> Samples:
    tone = 0.4 * np.sin(2 * np.pi * 3000 * np.arange(round(seconds * RATE)) / RATE)
    return np.concatenate([np.zeros(RATE), tone, np.zeros(RATE)]).astype(np.float32)


def test_shots_are_gunfire_and_silence_is_nothing(model: AudioModel) -> None:
    found = heard(StreamHearing(model, ALL), bursts(8, [2, 2.2, 2.4, 2.6, 2.8, 3.0, 3.2], RATE))
    assert best(found, "gunfire") > 0.9
    assert best(found, "scream") < 0.2
    first = next(s for said in found for s in said if s.score > 0.9)
    assert 1000 <= (first.begin_pts_ms or 0) <= 2000 <= first.pts_ms <= 4000
    assert [s.score for s in found[-1]] == [0, 0, 0], "it is over"
    assert heard(StreamHearing(model, ALL), np.zeros(8 * RATE, np.float32)) == []


def test_a_scream_is_no_gunfire(model: AudioModel) -> None:
    found = heard(StreamHearing(model, ALL), scream(3))
    assert best(found, "scream") > 0.9
    assert best(found, "gunfire") < 0.2


def test_only_what_is_on_is_said(model: AudioModel) -> None:
    found = heard(StreamHearing(model, ["scream"]), bursts(4, [1, 1.5, 2], RATE))
    assert {s.category for said in found for s in said} == {"scream"}


def test_quiet_shots_are_heard_too(model: AudioModel) -> None:
    quiet = 0.06 * bursts(6, [2, 2.3, 2.6, 2.9], RATE)
    assert best(heard(StreamHearing(model, ALL), quiet.astype(np.float32)), "gunfire") > 0.9


def test_what_goes_on_is_judged_without_an_onset(model: AudioModel) -> None:
    roar = (0.2 * np.random.default_rng(0).standard_normal(6 * RATE)).astype(np.float32)
    found = heard(StreamHearing(model, ALL), roar)
    assert len(found) >= 11, "it scores as much until its end"
    never = tuple(one.model_copy(update={"go_on_at": 1.1}) for one in model.spec.categories)
    steady = model.spec.model_copy(update={"categories": never})
    other = AudioModel.load(steady, tiny_audio_onnx(), Path("tiny.onnx"))
    judged = [said for said in heard(StreamHearing(other, ALL), roar) if best([said], "gunfire") > 0.9]
    assert len(judged) < 8


def test_a_stream_that_stops_settles(model: AudioModel) -> None:
    hearing = StreamHearing(model, ALL)
    heard(hearing, bursts(2, [1, 1.3, 1.6], RATE))
    assert not hearing.settled
    assert [(s.score, s.pts_ms) for s in hearing.settle(9_000)] == [(0, 9_000)] * 3
    assert hearing.settled
    assert hearing.settle(9_001) == ()


def test_what_waits_is_bounded_and_counted(model: AudioModel) -> None:
    hearing = StreamHearing(model, ALL)
    noisy = bursts(60, list(np.arange(0, 59, 0.3)), RATE)
    hearing.add_samples(noisy, 0, restarted=True)
    waiting = list(hearing.waiting())
    assert len(waiting) == MOST_WAITING
    assert hearing.lost == (60 * RATE - 240) // 7680 - MOST_WAITING
    hearing.pass_over(waiting[0])
    assert hearing.lost == (60 * RATE - 240) // 7680 - MOST_WAITING + 1
    assert hearing.fits(model, set(ALL))
    assert not hearing.fits(model, ["gunfire"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"input": SpectrumInput(name="x")}, "manifest says 'x'"),
        ({"output": RowOutput(name="x", size=3)}, "output 'x' is missing"),
        ({"output": RowOutput(name=OUTPUT, size=4)}, r"manifest wants \(4,\)"),
    ],
)
def test_a_model_that_does_not_keep_its_word_is_refused(change: dict[str, object], says: str) -> None:
    spec = tiny_spec().model_copy(update=change)
    with pytest.raises(ModelError, match=says):
        AudioModel.load(spec, tiny_audio_onnx(), Path("tiny.onnx"))


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ModelError, match="not a usable ONNX model"):
        AudioModel.load(tiny_spec(), b"nothing", Path("tiny.onnx"))
