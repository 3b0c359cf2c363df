"""How much known audio is found, how much is found falsely, and what listening costs.

    python -m benchmarks audio --json [--music DIR]

The audio of the reference videos is banked, and that of every recording in ``--music``. ffmpeg makes
changed copies of the audio; the video plays no part. Each copy is listened to anew from every other
second, as a live stream is. A trial is found when its entry counts within the limit. Then the unchanged
audio of everything, and of the calm footage, goes the same way. Nothing but its own entry may count. The
cost is measured on the live path: encoded frames, decoder, fingerprint, lookup.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from edge.domain import Audio, Signal
from edge.match import AudioMatcher, Bank, Entry, EntryKind, Footage, Matcher, audio_items_of, available
from edge.match.audio.audio_fingerprint import audio_print_of
from edge.match.audio.audio_matcher import ITEM_SPAN_MS
from edge.match.audio.chromaprint import ITEM_MS, Items
from edge.stream.audio import StreamAudio
from edge.stream.known_audio import KnownAudio

SHARED = Path(__file__).resolve().parents[2] / "shared"
LIMITS_S = (10, 20)
STEP_S = 2.0
SECONDS = 60
"""Seconds of each recording that are used for changed copies."""
_ROOM = (
    "[0:a]aresample=44100,highpass=f=300,lowpass=f=4000,aecho=0.8:0.6:30|55:0.4|0.25[a];"
    "anoisesrc=a={noise26}:r=44100[n];[a][n]amix=inputs=2:duration=first:normalize=0"
)
_NOISE = "anoisesrc=a={noise20}:r=44100[n];[0:a][n]amix=inputs=2:duration=first:normalize=0"
CHANGES: dict[str, tuple[str, list[str]]] = {
    "untouched": ("wav", []),
    "AAC 64k": ("m4a", ["-c:a", "aac", "-b:a", "64k"]),
    "MP3 128k": ("mp3", ["-c:a", "libmp3lame", "-b:a", "128k"]),
    "Opus 32k": ("mka", ["-c:a", "libopus", "-b:a", "32k"]),
    "12 dB quieter, mono": ("wav", ["-af", "volume=-12dB", "-ac", "1"]),
    "tempo 1.05": ("wav", ["-af", "atempo=1.05"]),
    "tempo 1.1": ("wav", ["-af", "atempo=1.1"]),
    "speed and pitch 1.02": ("wav", ["-af", "aresample=44100,asetrate=44982,aresample=44100"]),
    "speed and pitch 1.05": ("wav", ["-af", "aresample=44100,asetrate=46305,aresample=44100"]),
    "white noise 20 dB lower": ("wav", ["-filter_complex", _NOISE]),
    "300 to 4000 Hz": ("wav", ["-af", "highpass=f=300,lowpass=f=4000"]),
    "300 to 4000 Hz, echoes, noise 26 dB lower": ("wav", ["-filter_complex", _ROOM]),
}


@dataclass(slots=True)
class Tally:
    """Trials of one change."""

    found_s: list[float | None] = field(default_factory=list)
    wrong: int = 0


def main(argv: Sequence[str]) -> int:
    """Runs the benchmark and prints one JSON document. Exits with 2 where something needed is missing."""
    parser = argparse.ArgumentParser(
        prog="benchmarks audio", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--music", type=Path, help="folder of further known recordings")
    parser.add_argument("--every", type=int, default=1, help="make copies of every n-th recording")
    arguments = parser.parse_args(argv)
    videos = sorted((SHARED / "reference" / "pdq" / "videos").glob("*.mp4"))
    if not videos or shutil.which("ffmpeg") is None or not available():
        print("needs ../shared/reference/pdq, ffmpeg and libchromaprint1", file=sys.stderr)
        return 2
    music = [p for p in sorted(arguments.music.rglob("*")) if p.is_file()] if arguments.music else []
    with tempfile.TemporaryDirectory() as folder:
        report = _measure(Path(folder), videos, music, arguments.every)
    print(json.dumps(report, indent=None if arguments.json else 1))
    return 0


def _measure(folder: Path, videos: list[Path], music: list[Path], every: int) -> dict[str, Any]:
    known: dict[str, Path] = {}
    seen: set[bytes] = set()
    bank = Bank.create(folder / "known")
    footage = []
    for path in (*videos, *music):
        sound = audio_print_of(path)
        if sound is not None and sound.items not in seen:
            seen.add(sound.items)
            known[path.name] = path
            footage.append(Footage(Entry(path.name, EntryKind.AUDIO), (), sound))
    bank.add_footage(footage)
    matcher = Matcher.open(folder)
    names = {path.name for path in videos}
    groups = {"videos": [n for n in known if n in names], "music": [n for n in known if n not in names]}
    report: dict[str, Any] = {
        "known": {group: len(members) for group, members in groups.items()},
        "known_hours": round(sum(len(f.audio or ()) for f in footage) * ITEM_MS / 3.6e6, 2),
        "bank_bytes": sum(segment.size_bytes for segment in bank.segments),
        "changes": {},
    }
    for change in CHANGES:
        for group, members in groups.items():
            tally = Tally()
            for name in members[:: every if group == "music" else 1]:
                _try(_copy(known[name], change, folder), name, matcher, tally)
            if tally.found_s:
                report["changes"].setdefault(change, {})[group] = _summed(tally)
    report["other_sound"] = _false(known, matcher)
    report["calm"] = _false({p.name: p for p in _calm()}, matcher)
    report["cost"] = _cost(known, matcher, folder)
    return report


def _copy(path: Path, change: str, folder: Path) -> Path:
    suffix, options = CHANGES[change]
    copy = folder / f"copy.{suffix}"
    noise = {f"noise{db}": f"{_loudness(path) * 3**0.5 * 10 ** (-db / 20):.6f}" for db in (20, 26)}
    options = [option.format(**noise) for option in options]
    command = ["ffmpeg", "-v", "error", "-y", "-threads", "1", "-i", str(path), "-t", str(SECONDS)]
    subprocess.run([*command, "-vn", *options, str(copy)], check=True)
    return copy


@cache
def _loudness(path: Path) -> float:
    """Returns the root mean square of the samples, 0 to 1."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=11_025)
    parts: list[npt.NDArray[np.float64]] = []
    with av.open(str(path)) as media:
        for frame in media.decode(audio=0):
            parts += [out.to_ndarray().ravel() / 32_768 for out in resampler.resample(frame)]
            if frame.time is not None and frame.time > SECONDS:
                break
    samples = np.concatenate(parts)
    return float(np.sqrt(np.mean(samples**2)))


def _items(path: Path) -> tuple[Items, float]:
    runs = list(audio_items_of(path))
    return np.concatenate([*(run.items for run in runs), np.empty(0, np.uint32)]), runs[0].start_ms


def _try(copy: Path, name: str, matcher: Matcher, tally: Tally) -> None:
    items, _ = _items(copy)
    step, limit = round(1000 * STEP_S / ITEM_MS), round((1000 * LIMITS_S[-1] - ITEM_SPAN_MS) / ITEM_MS)
    for begin in range(0, max(1, len(items) - 40), step):
        heard = items[begin : begin + limit]
        found: float | None = None
        for signal in _signals(heard, matcher):
            if _scene(signal.entry) == _scene(name):
                found = signal.pts_ms / 1000 if found is None else found
            else:
                tally.wrong += 1
        tally.found_s.append(found)


def _scene(name: str | None) -> str:
    """Returns the scene of a reference video. Two of the videos are other versions of two more."""
    return str(name).split("-")[0] if str(name).endswith(".mp4") else str(name)


def _signals(items: Items, matcher: Matcher) -> list[Signal]:
    listening = AudioMatcher(matcher)
    return [
        signal
        for begin in range(0, len(items), 4)
        for signal in listening.add_items(items[begin : begin + 4], begin * ITEM_MS)
    ]


def _summed(tally: Tally) -> dict[str, Any]:
    times = sorted(s for s in tally.found_s if s is not None)
    within = {limit: sum(at <= limit for at in times) / len(tally.found_s) for limit in LIMITS_S}
    shares = {f"within_{limit}_s": round(share, 3) for limit, share in within.items()}
    p50 = round(times[len(times) // 2], 1) if times else None
    return {"trials": len(tally.found_s), **shares, "found_s_p50": p50, "wrong": tally.wrong}


def _calm() -> list[Path]:
    rows = [line.split(",") for line in (SHARED / "data" / "clips.csv").read_text().splitlines()[1:]]
    clips = [SHARED / "data" / row[0] for row in rows if row[1] == "calm"]
    return [*(SHARED / "data" / "long-calm").glob("*.mp4"), *clips]


def _false(recordings: dict[str, Path], matcher: Matcher) -> dict[str, Any]:
    """Returns entries that count in audio that is not theirs."""
    seconds, looked = 0.0, 0
    pairs: dict[str, int] = {}
    for name, path in recordings.items():
        runs = list(audio_items_of(path))
        if not runs:
            continue
        items = np.concatenate([run.items for run in runs])
        looked += 1
        seconds += len(items) * ITEM_MS / 1000
        for signal in _signals(items, matcher):
            if _scene(signal.entry) != _scene(name):
                key = f"{name} as {signal.entry}"
                pairs[key] = pairs.get(key, 0) + 1
    return {"recordings": looked, "hours": round(seconds / 3600, 3), "false": pairs}


def _cost(known: dict[str, Path], matcher: Matcher, folder: Path) -> dict[str, float]:
    """Returns the CPU time of one second of AAC at 44.1 kHz, matched against all known audio."""
    path = _copy(max(known.values(), key=lambda p: p.stat().st_size), "AAC 64k", folder)
    with av.open(str(path)) as media:
        stream = media.streams.audio[0]
        context, base = stream.codec_context, stream.time_base
        assert base is not None
        units = [(round(1000 * p.pts * base), bytes(p)) for p in media.demux(stream) if p.pts is not None]
        codec, extradata = context.codec.canonical_name, context.extradata or b""
    listener = StreamAudio(KnownAudio(matcher))
    times = []
    for begin in range(0, len(units), 22):
        started = time.thread_time()
        listener.hear(Audio(codec, extradata, tuple(units[begin : begin + 22])), 500.0 * begin / 22)
        times.append(1000 * (time.thread_time() - started))
    seconds = units[-1][0] / 1000
    return {
        "seconds": round(seconds, 1),
        "cpu_ms_a_second": round(sum(times) / seconds, 2),
        "message_ms_max": round(max(times), 2),
    }


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
