"""Programmes of the ``attack`` benchmark: calm footage with shots, and with frames of a firearm.

Footage and sounds come from ``../shared/data``. Nothing of it is kept.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt

from edge.errors import NotFound
from edge.ingest.test_footage import HEIGHT, RATE, WIDTH, Part, write_programme
from edge.match import frames_of_audio
from edge.stream import MonoAudio

AUDIO_RATE: Final = 16_000
CALM_MS: Final = 5_000
ATTACK_MS: Final = 8_000
AFTER_MS: Final = 2_000
_CALM_RMS: Final = 0.03
"""Level of the calm audio, full scale 1: −30 dBFS."""
_CALM: Final = "clips/calm-mix/TMElyralab__data__video__sun.mp4"
_CALM_SOUNDS: Final = ("children_playing", "street_music", "speech", "air_conditioner")
_GAME: Final = "game-cs2"
_SIZES: Final = {"armed": (0.5, 2.0), "armed_medium": (0.25, 0.5)}
"""Root of the weapon's share of the frame. Smaller ones are not promised."""
_GUN: Final = "M249"
"""A machine gun."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Programme:
    """An FLV file with video and audio."""

    path: Path
    kind: str
    """``shots``: gunfire under calm video. ``armed``: also a large firearm in the frame.
    ``armed_medium``: one of a quarter to half of the frame. ``game``: audio and video of games."""
    level_db: int
    """By how much the shots are louder than the calm audio, where they sound."""
    first_ms: int
    """Media time of the first shot."""
    pictures: tuple[Path, ...] = ()
    """The stills that are shown beside the shots, each for two seconds."""


class AttackMedia:
    """Makes programmes of what is in ``data``. Raises NotFound where that is not there."""

    def __init__(self, data: Path, folder: Path) -> None:
        self._data, self._folder = data, folder
        try:
            with (data / "sounds" / "sounds.csv").open(encoding="utf-8") as file:
                self._sounds = list(csv.DictReader(file))
            with (data / "sight" / "sight.csv").open(encoding="utf-8") as file:
                self._pictures = list(csv.DictReader(file))
        except OSError as error:
            raise NotFound("sounds and frames", f"{data}: {error.strerror}") from None
        if not (data / _CALM).is_file():
            raise NotFound("footage", str(data / _CALM))

    def programme(self, kind: str, level_db: int, number: int) -> Programme:
        """Writes the programme of a number. The same arguments give the same programme."""
        shots, first = self._shots(kind, number)
        background = self._background(number)
        mixed = _mixed(background, shots, level_db, at=CALM_MS * AUDIO_RATE // 1000)
        picture = self._folder / f"{kind}-{number}.flv"
        if not picture.is_file():
            write_programme(self._parts(kind, number), picture, keyframe_at_parts=False)
        path = self._folder / f"{kind}-{level_db}-{number}.flv"
        _join(picture, mixed, path)
        return Programme(path, kind, level_db, CALM_MS + first, self._stills(kind, number))

    def talking(self, seconds: float) -> Path:
        """Writes a calm programme in which somebody talks all the time."""
        found = [row for row in self._sounds if row["sublabel"] == "speech"]
        parts = [_levelled(_samples(self._data / "sounds" / row["path"]), 2 * _CALM_RMS) for row in found]
        talk = np.concatenate(parts)
        wanted = round(seconds * AUDIO_RATE)
        picture, path = self._folder / "calm.flv", self._folder / "talking.flv"
        write_programme((Part(self._data / _CALM, round(1000 * seconds)),), picture, keyframe_at_parts=False)
        _join(picture, np.resize(talk, wanted), path)
        return path

    def _shots(self, kind: str, number: int) -> tuple[Samples, int]:
        """Returns shots, and when the first of them begins in milliseconds."""
        if kind == "game":
            found = [row for row in self._sounds if row["label"] == "game" and row["sublabel"] == "game"]
        else:
            found = [row for row in self._sounds if row["label"] == "gunfire" and row["sublabel"] == _GUN]
        wanted = ATTACK_MS * AUDIO_RATE // 1000
        parts: list[Samples] = []
        while sum(map(len, parts)) < wanted:
            row = found[(7 * number + 31 * len(parts)) % len(found)]
            parts.append(_samples(self._data / "sounds" / row["path"]))
        shots = np.concatenate(parts)[:wanted]
        return shots, first_loud_ms(shots)

    def _background(self, number: int) -> Samples:
        found = [row for row in self._sounds if row["label"] == "calm" and row["sublabel"] in _CALM_SOUNDS]
        wanted = (CALM_MS + ATTACK_MS + AFTER_MS) * AUDIO_RATE // 1000
        parts: list[Samples] = []
        while sum(map(len, parts)) < wanted:
            row = found[(11 * number + 17 * len(parts)) % len(found)]
            parts.append(_levelled(_samples(self._data / "sounds" / row["path"]), _CALM_RMS))
        return np.concatenate(parts)[:wanted]

    def _parts(self, kind: str, number: int) -> tuple[Part, ...]:
        calm = self._data / _CALM
        if kind == "shots":
            return (Part(calm, CALM_MS + ATTACK_MS + AFTER_MS),)
        stills = self._stills(kind, number)
        shown = tuple(Part(still, ATTACK_MS // len(stills)) for still in stills)
        begin = stills[0] if kind == "game" else calm
        return (Part(begin, CALM_MS), *shown, Part(calm, AFTER_MS))

    def _stills(self, kind: str, number: int) -> tuple[Path, ...]:
        """Writes the stills of a programme that are not yet there."""
        if kind == "shots":
            return ()
        if kind == "game":
            found = [row for row in self._pictures if (row["label"], row["source"]) == ("game", _GAME)]
        else:
            least, most = _SIZES[kind]
            found = [
                row
                for row in self._pictures
                if row["label"] == "firearm" and least <= float(row["box_sqrt_area"] or 0) < most
            ]
        chosen = [found[(13 * number + step) % len(found)] for step in range(4)]
        return tuple(
            _still(self._data / "sight" / row["path"], self._folder / f"{kind}-{number}-{step}.mp4")
            for step, row in enumerate(chosen)
        )


def first_loud_ms(samples: Samples) -> int:
    """When audio first comes within 20 dB of its loudest 10 ms."""
    step = AUDIO_RATE // 100
    energy = np.square(samples[: len(samples) // step * step].reshape(-1, step)).mean(axis=1)
    return int(np.argmax(energy >= energy.max() / 100)) * 10


def _mixed(background: Samples, shots: Samples, level_db: int, *, at: int) -> Samples:
    """Lays shots over the background. Their level is that of their loud parts: silence between them is
    none."""
    loud = shots[np.abs(shots) > 0.1 * np.abs(shots).max()]
    gain = _CALM_RMS * 10 ** (level_db / 20) / max(float(np.sqrt(np.square(loud).mean())), 1e-9)
    mixed = background.copy()
    mixed[at : at + len(shots)] += (gain * shots)[: len(mixed) - at]
    return np.asarray(np.clip(mixed, -1, 1), np.float32)


def _levelled(samples: Samples, rms: float) -> Samples:
    level = max(float(np.sqrt(np.square(samples).mean())), 1e-6)
    return np.asarray(np.clip(samples * (rms / level), -1, 1), np.float32)


def _samples(path: Path) -> Samples:
    mono = MonoAudio()
    parts = [mono.add_frame(frame, at_ms, restarted=False).samples for frame, at_ms in frames_of_audio(path)]
    return np.concatenate([*parts, np.zeros(1, np.float32)])


def _still(picture: Path, out: Path) -> Path:
    """A second of a photograph, with black bars, as a camera that holds still would send it."""
    if out.is_file():
        return out
    with av.open(str(picture)) as media:
        frame = next(media.decode(video=0))
    scale = min(WIDTH / frame.width, HEIGHT / frame.height)
    height, width = round(frame.height * scale), round(frame.width * scale)
    canvas = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    top, left = (HEIGHT - height) // 2, (WIDTH - width) // 2
    pixels = frame.reformat(width, height, "rgb24").to_ndarray()
    canvas[top : top + height, left : left + width] = pixels
    with av.open(str(out), "w") as writer:
        stream = writer.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "crf": "18"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(RATE):
            frame = av.VideoFrame.from_ndarray(canvas, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode(None))
    return out


def _join(picture: Path, sound: Samples, out: Path) -> None:
    """Writes video and audio into one FLV, interleaved by time."""
    with av.open(str(picture)) as media, av.open(str(out), "w", format="flv") as writer:
        video = writer.add_stream_from_template(media.streams.video[0])
        audio = writer.add_stream("aac", rate=44_100)
        assert isinstance(audio, av.AudioStream)
        audio.layout, audio.bit_rate = "stereo", 128_000
        packets: list[av.Packet[Any]] = []
        for packet in media.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                packets.append(packet)
        packets += _encoded(audio, sound)
        for packet in sorted(packets, key=lambda each: float((each.dts or 0) * (each.time_base or 0))):
            writer.mux(packet)


def _encoded(stream: av.AudioStream, sound: Samples) -> Iterator[av.Packet[Any]]:
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=44_100)
    frame = av.AudioFrame.from_ndarray(sound[np.newaxis], format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE, 0, Fraction(1, AUDIO_RATE)
    for ready in (*resampler.resample(frame), *resampler.resample(None)):
        yield from stream.encode(ready)
    yield from stream.encode(None)
