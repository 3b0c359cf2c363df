"""What an audio model hears through the gate's own path: ``python -m models.sound_figures MODEL.onnx``.

Each clip of ../shared/data/sounds goes through decoding, onset gate, windows and persistence as a live stream
does. The score of a clip is the highest signal that it gives. Nothing is chosen here: a threshold is that at
which the negatives give so many alarms. JSON on stdout.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from edge.detect.audio.audio_model import AudioModel
from edge.detect.audio.hearing import StreamHearing
from edge.detect.audio.log_mel import RATE
from edge.detect.importing.yamnet import yamnet_spec
from edge.domain import Audio
from edge.stream import StreamAudio
from models.gate_hearing import PAUSE, Bring, Samples, plain, scores_of, with_pauses

DATA: Final = Path(__file__).resolve().parents[2] / "shared" / "data" / "sounds"
NEGATIVE: Final = {
    "gunfire": ("calm", "fireworks", "scream", "game"),
    "scream": ("calm", "fireworks", "gunfire", "game"),
}


@dataclass(frozen=True, slots=True)
class Clip:
    path: Path
    label: str
    source: str
    seconds: float


def clips(data: Path) -> list[Clip]:
    with (data / "sounds.csv").open(encoding="utf-8") as file:
        return [
            Clip(data / row["path"], row["label"], row["source"], float(row["seconds"]))
            for row in csv.DictReader(file)
        ]


def samples_of(path: Path) -> Samples:
    with av.open(str(path)) as media:
        parts = [frame.to_ndarray().reshape(-1) for frame in media.decode(audio=0)]
    return with_pauses(np.concatenate(parts).astype(np.float32))


def with_noise(samples: Samples) -> Samples:
    """White noise 10 dB below the clip."""
    level = float(np.sqrt(np.mean(samples[PAUSE : -3 * PAUSE] ** 2)))
    noise = np.random.default_rng(len(samples)).standard_normal(len(samples)) * level * 10 ** (-10 / 20)
    return (samples + noise).astype(np.float32)


def aac(samples: Samples, hearing: StreamHearing) -> Iterator[None]:
    """Brings it at 32 kbit/s, encoded and decoded as a stream's audio is."""
    context = av.CodecContext.create("aac", "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout, context.format = RATE, "mono", "fltp"
    context.bit_rate, context.time_base = 32_000, Fraction(1, RATE)
    context.open()
    units = []
    for begin in range(0, len(samples) // 1024 * 1024, 1024):
        piece = samples[np.newaxis, begin : begin + 1024]
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
        units += [bytes(packet) for packet in context.encode(frame)]
    audio = StreamAudio(listener=hearing)
    stamped = [(64 * number, unit) for number, unit in enumerate(units)]
    for begin in range(0, len(stamped), 8):
        sound = Audio("aac", bytes(context.extradata or b""), tuple(stamped[begin : begin + 8]))
        audio.hear(sound, 64.0 * begin)
        yield


Change = Callable[[Samples], Samples]
CONDITIONS: Final[Mapping[str, tuple[Change, Bring]]] = {
    "clean": (lambda samples: samples, plain),
    "noise 10 dB below": (with_noise, plain),
    "AAC 32 kbit/s": (lambda samples: samples, aac),
}


def alarms(scores: Sequence[float], threshold: float) -> int:
    """How often a row of scores rises over a threshold."""
    over = np.array([0, *scores]) >= threshold
    return int((over[1:] & ~over[:-1]).sum())


def figures(found: Sequence[tuple[Clip, dict[str, list[float]]]], category: str) -> dict[str, Any]:
    """Ranks the clips of a category against the others. Games are told apart, because they cannot be."""
    positive = [(clip, max(scores[category])) for clip, scores in found if clip.label == category]
    negative = [(clip, scores[category]) for clip, scores in found if clip.label in NEGATIVE[category]]
    calm = [(clip, row) for clip, row in negative if clip.label != "game"]
    hours = sum(clip.seconds for clip, _ in calm) / 3600
    best = np.array([max(row) for _, row in calm])
    got = np.array([score for _, score in positive])
    rank = (got[:, np.newaxis] > best).mean() + (got[:, np.newaxis] == best).mean() / 2
    result: dict[str, Any] = {"clips": len(got), "calm_hours": round(hours, 3), "auc": round(float(rank), 4)}
    for per_hour in (0, 1, 4):
        most = int(per_hour * hours)
        threshold = 1.1
        for level in sorted({0.0, *(float(score) for score in best)}):
            above = float(np.nextafter(level, 2))
            if sum(alarms(row, above) for _, row in calm) <= most:
                threshold = above
                break
        by_source = defaultdict(list)
        for clip, score in positive:
            by_source[clip.source].append(score >= threshold)
        result[f"at {per_hour} false alarms an hour"] = {
            "threshold": round(threshold, 4),
            "recall": round(float((got >= threshold).mean()), 4),
            "by_source": {name: round(float(np.mean(hits)), 3) for name, hits in sorted(by_source.items())},
            "fireworks": f"{sum(max(r) >= threshold for c, r in negative if c.label == 'fireworks')} of "
            f"{sum(c.label == 'fireworks' for c, _ in negative)}",
            "games": f"{sum(max(r) >= threshold for c, r in negative if c.label == 'game')} of "
            f"{sum(c.label == 'game' for c, _ in negative)}",
        }
    for flag in (0.66, 0.8):
        result[f"over {flag}"] = {
            "recall": round(float((got >= flag).mean()), 4),
            "alarms_an_hour": round(sum(alarms(row, flag) for _, row in calm) / hours, 2),
            "fireworks": sum(max(r) >= flag for c, r in negative if c.label == "fireworks"),
            "games": sum(max(r) >= flag for c, r in negative if c.label == "game"),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="ONNX file with YAMNet's classes")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--every", type=int, default=1, help="take each so many-th clip")
    arguments = parser.parse_args()
    content = arguments.model.read_bytes()
    model = AudioModel.load(yamnet_spec(content), content, arguments.model)
    chosen = [clip for clip in clips(arguments.data) if clip.label != "film"][:: arguments.every]
    sounds = [(clip, samples_of(clip.path)) for clip in chosen]
    result: dict[str, Any] = {}
    for name, (change, bring) in CONDITIONS.items():
        found = [(clip, scores_of(model, change(samples), bring)) for clip, samples in sounds]
        result[name] = {category: figures(found, category) for category in NEGATIVE}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
