"""How much of known footage is found when it is re-broadcast changed, and how soon.

The reference videos are banked; ffmpeg makes the changed copies; each copy is sampled as a live stream
in the dense tier, looked up and voted on, starting anew at every half second. A trial is found when the
vote counts the right video within the limit. The bank is filled up with random hashes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.match import (
    Bank,
    Candidate,
    Entry,
    EntryKind,
    Footage,
    HashRun,
    Matcher,
    MatchVote,
    VariantSet,
    fingerprint,
    frames_of,
)

SHARED = Path(__file__).resolve().parents[2] / "shared"
INTERVAL_MS = 200
START_EVERY_MS = 500
_HALF = "scale=iw/2:ih/2"


@dataclass(frozen=True, slots=True)
class Change:
    """One way to change a video: an ffmpeg filter, and within how many seconds it is to be found."""

    filter: str
    limit_ms: int
    crf: int = 23
    complex: bool = False


CHANGES = {
    "untouched": Change("null", 2000),
    "crf35": Change("null", 2000, crf=35),
    "640x360": Change("scale=640:360", 2000),
    "grey": Change("hue=s=0", 2000),
    "sepia": Change("colorchannelmixer=.393:.769:.189:0:.349:.686:.168:0:.272:.534:.131", 2000),
    "logo_small": Change("drawbox=x=iw*.86:y=ih*.04:w=iw*.1:h=ih*.06:color=white:t=fill", 2000),
    "mirror": Change("hflip", 3000),
    "letterbox": Change("pad=iw:ceil(ih*2/3)*2:0:-1", 3000),
    "pillarbox": Change("pad=ceil(iw*2/3)*2:ih:-1:0", 3000),
    "mirror_letterbox": Change("hflip,pad=iw:ceil(ih*2/3)*2:0:-1", 3000),
    "crop_5": Change("crop=iw*.95:ih*.95", 3000),
    "crop_10": Change("crop=iw*.9:ih*.9", 3000),
    "crop_13": Change("crop=iw*.87:ih*.87", 3000),
    "crop_20": Change("crop=iw*.8:ih*.8", 3000),
    "crop_bottom_20": Change("crop=iw:ih*.8:0:0", 3000),
    "logo_large": Change("drawbox=x=iw*.78:y=ih*.03:w=iw*.19:h=ih*.19:color=white:t=fill", 3000),
    "speed_0.8": Change("setpts=PTS/0.8", 3000),
    "speed_1.25": Change("setpts=PTS/1.25", 3000),
    "keystone_5": Change("perspective=x0=W*.05:y0=0:x1=W*.95:y1=0:x2=0:y2=H:x3=W:y3=H", 3000),
    "rotate_3": Change("rotate=3*PI/180", 3000),
    "crop_40": Change("crop=iw*.6:ih*.6", 3000),
    "picture_in_plain": Change(f"{_HALF},pad=iw*2:ih*2:iw*.7:ih*.6:color=0x304050", 3000),
    "picture_in_picture": Change(
        f"[0:v]split[a][b];[a]hue=h=90,boxblur=20[bg];[b]{_HALF}[fg];[bg][fg]overlay=W*.45:H*.45",
        3000,
        complex=True,
    ),
}


def main(argv: Sequence[str]) -> int:
    """Run it; prints one JSON document, and progress unless ``--json``."""
    parser = argparse.ArgumentParser(prog="benchmarks evasion", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one line of JSON, no progress")
    parser.add_argument("--variants", type=VariantSet, choices=list(VariantSet), default=VariantSet.FULL)
    parser.add_argument("--random", type=int, default=100_000, help="random hashes beside the known ones")
    parser.add_argument("--only", nargs="*", help="changes to measure")
    parser.add_argument("--calm", action="store_true", help="count false matches over the calm footage, too")
    arguments = parser.parse_args(argv)
    videos = sorted((SHARED / "reference" / "pdq" / "videos").glob("*.mp4"))
    if not videos or shutil.which("ffmpeg") is None:
        print("needs ../shared/reference/pdq and ffmpeg", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        report = _measure(Path(scratch), videos, arguments)
    if arguments.json:
        print(json.dumps(report))
        return 0
    print(json.dumps(report, indent=1))
    return 0


def _measure(scratch: Path, videos: list[Path], arguments: argparse.Namespace) -> dict[str, object]:
    banks = scratch / "banks"
    started = time.perf_counter()
    known = [fingerprint(path, entry_id=path.stem, variants=arguments.variants) for path in videos]
    fingerprint_s = time.perf_counter() - started
    Bank.create(banks / "known").add(known)
    Bank.create(banks / "random").add(_random(arguments.random))
    matcher = Matcher.open(banks)
    changes: dict[str, dict[str, object]] = {}
    for name, change in CHANGES.items():
        if not arguments.only or name in arguments.only:
            changes[name] = _trials(scratch, videos, change, matcher)
            if not arguments.json:
                print(f"{name}: {changes[name]}", file=sys.stderr)
    footage_s = sum(item.entry.duration_ms for item in known) / 1000
    report: dict[str, object] = {
        "variants": str(arguments.variants),
        "known_hashes": sum(len(item.hashes) for item in known),
        "hashes_per_second": round(sum(len(item.hashes) for item in known) / footage_s, 1),
        "fingerprint_s_per_s": round(fingerprint_s / footage_s, 2),
        "random_hashes": arguments.random,
        "changes": changes,
    }
    if arguments.calm:
        report["calm"] = _false_matches(matcher, arguments)
    return report


def _trials(scratch: Path, videos: list[Path], change: Change, matcher: Matcher) -> dict[str, object]:
    found: list[int | None] = []
    near = frames = 0
    for video in videos:
        copy = scratch / "copy.mp4"
        _ffmpeg(video, copy, change)
        samples = list(_samples(copy, matcher))
        frames += len(samples)
        scene = _scene(video.stem)
        near += sum(any(_scene(c.entry) == scene for c in candidates) for _, candidates in samples)
        length = samples[-1][0]
        for start in range(0, max(1, length - change.limit_ms), START_EVERY_MS):
            rest = [s for s in samples if start <= s[0] <= start + change.limit_ms]
            found.append(_first_count(rest, scene))
    times = sorted(t for t in found if t is not None)
    return {
        "found": round(len(times) / len(found), 4),
        "trials": len(found),
        "limit_ms": change.limit_ms,
        "found_ms_p50": times[len(times) // 2] if times else None,
        "frames_near": round(near / frames, 4),
    }


def _ffmpeg(source: Path, target: Path, change: Change) -> None:
    how = ["-filter_complex" if change.complex else "-vf", change.filter]
    encode = ["-an", "-c:v", "libx264", "-preset", "veryfast", "-crf", str(change.crf), "-pix_fmt", "yuv420p"]
    even = f"{change.filter},scale=trunc(iw/2)*2:trunc(ih/2)*2"
    how[1] = even
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(source), *how, *encode, str(target)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def _samples(path: Path, matcher: Matcher) -> Iterable[tuple[int, tuple[Candidate, ...]]]:
    due = 0
    for at, _, luma in frames_of(path):
        if at >= due:
            due = at + INTERVAL_MS - 1
            yield at, matcher.query(luma)


def _first_count(samples: list[tuple[int, tuple[Candidate, ...]]], scene: str) -> int | None:
    """Milliseconds from the first sample until the vote counts the right video."""
    vote = MatchVote()
    for at, candidates in samples:
        if any(_scene(str(signal.entry)) == scene for signal in vote.add(at, candidates)):
            return at - samples[0][0]
    return None


def _scene(stem: str) -> str:
    """Two of the reference videos are other versions of two more."""
    return stem.split("-")[0]


def _random(count: int) -> Iterable[Footage]:
    octets = np.random.default_rng(0).bytes(32 * count)
    for start in range(0, len(octets), 32):
        bits = octets[start : start + 32]
        yield Footage(Entry(bits.hex(), EntryKind.IMAGE), (HashRun(bits),))


def _false_matches(matcher: Matcher, arguments: argparse.Namespace) -> dict[str, int]:
    """Samples, near samples and counted matches over all the calm footage."""
    rows = [line.split(",") for line in (SHARED / "data" / "clips.csv").read_text().splitlines()[1:]]
    paths = [SHARED / "data" / row[0] for row in rows if row[1] == "calm"]
    paths += sorted((SHARED / "data" / "long-calm").glob("*.mp4"))
    samples = near = counted = 0
    for number, path in enumerate(paths):
        if not arguments.json and number % 50 == 0:
            print(f"calm {number}/{len(paths)}", file=sys.stderr)
        vote = MatchVote()
        for at, candidates in _samples(path, matcher):
            samples += 1
            near += bool(candidates)
            counted += bool(vote.add(at, candidates))
    return {"clips": len(paths), "samples": samples, "near_samples": near, "false_matches": counted}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
