"""How much of known footage is found when it is re-broadcast changed, and what is found that is not there.

    python -m benchmarks evasion --json

The reference videos are banked with their variants, beside all other reference hashes (images, vPDQ
lists, search lists) and a million random ones. ffmpeg makes the changed copies; each copy is sampled as a
live stream in the dense tier, looked up and voted on, starting anew at every half second. A trial is
found when the vote counts the right video within the limit. Then all the calm footage goes the same way,
and nothing of it may count. Exits with 1 when a goal is missed.

Copies are kept between runs (--cache); everything that is measured is done anew.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from benchmarks._changes import CHANGES, Change, make_copy
from benchmarks._percentiles import percentiles
from edge.match import (
    Bank,
    Candidate,
    Entry,
    EntryKind,
    Footage,
    Format,
    HashRun,
    Import,
    Matcher,
    MatchVote,
    VariantSet,
    fingerprint,
    frames_of,
)

SHARED = Path(__file__).resolve().parents[2] / "shared"
REFERENCE = SHARED / "reference" / "pdq"
INTERVAL_MS = 200
START_EVERY_MS = 500
KNOWN, OTHERS, RANDOM = "known", "reference", "random"
_EASY_PROGRESS_S = 20.0


@dataclass(frozen=True, slots=True)
class Looked:
    """One sample that was looked up."""

    at_ms: int
    candidates: tuple[Candidate, ...]
    took_us: float
    """Time of the thread alone: other work on the machine does not show."""


@dataclass(frozen=True, slots=True)
class Trials:
    """One copy of one video."""

    change: str
    found_ms: tuple[int | None, ...]
    wrong: int
    """Trials in which another entry counted."""
    samples: int
    near: int
    """Samples with the right video within the radius."""
    took_us: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Calm:
    """One calm video."""

    samples: int
    near: int
    counted: int
    took_us: tuple[float, ...]


def main(argv: Sequence[str]) -> int:
    """Run it; prints one JSON document."""
    parser = argparse.ArgumentParser(
        prog="benchmarks evasion", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--variants", type=VariantSet, choices=list(VariantSet), default=VariantSet.FULL)
    parser.add_argument("--random", type=float, default=1e6, help="random hashes beside the known ones")
    parser.add_argument("--only", nargs="*", choices=list(CHANGES), metavar="CHANGE", help="changes to try")
    parser.add_argument("--videos", nargs="*", metavar="NAME", help="reference videos to take (all)")
    parser.add_argument("--no-calm", action="store_true", help="leave out the calm footage")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir()) / "edge-gate-evasion",
        help="where changed copies are kept (%(default)s)",
    )
    arguments = parser.parse_args(argv)
    videos = sorted((REFERENCE / "videos").glob("*.mp4"))
    if arguments.videos:
        videos = [path for path in videos if path.stem in arguments.videos]
    if not videos or shutil.which("ffmpeg") is None:
        print("needs ../shared/reference/pdq and ffmpeg", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        report = _measure(Path(scratch), videos, arguments)
    print(json.dumps(report, indent=None if arguments.json else 1))
    return 0 if report["passed"] else 1


def _measure(scratch: Path, videos: list[Path], arguments: argparse.Namespace) -> dict[str, Any]:
    banks = scratch / "banks"
    started = time.perf_counter()
    Bank.create(banks / RANDOM).add(_random(int(arguments.random)))
    Bank.create(banks / OTHERS).add(_reference())
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.workers, mp_context=context) as pool:
        prints = [pool.submit(_fingerprint, path, arguments.variants) for path in videos]
        said = list(_gathered(prints, "fingerprints", arguments.json))
    known = [footage for footage, _ in said]
    Bank.create(banks / KNOWN).add(known)
    names = [name for name in CHANGES if not arguments.only or name in arguments.only]
    with ProcessPoolExecutor(
        arguments.workers, mp_context=context, initializer=_open, initargs=(banks,)
    ) as pool:
        # The long ones first, so that they do not run alone in the end.
        calm = [] if arguments.no_calm else [pool.submit(_calm, path) for path in _calm_videos()]
        tried = [pool.submit(_try, path, name, arguments.cache) for name in names for path in videos]
        changes: dict[str, dict[str, Any]] = {}
        calm_done: list[Calm] = []
        trials: dict[str, list[Trials]] = {name: [] for name in names}
        for one in _gathered([*tried, *calm], "lookups", arguments.json):
            if isinstance(one, Calm):
                calm_done.append(one)
                continue
            trials[one.change].append(one)
            if len(trials[one.change]) == len(videos):
                changes[one.change] = row = _summed(CHANGES[one.change], trials[one.change])
                if not arguments.json:
                    print(f"{one.change}: {json.dumps(row)}", file=sys.stderr, flush=True)
    changes = {name: changes[name] for name in names}
    footage_s = sum(item.entry.duration_ms for item in known) / 1000
    hashes = sum(len(item.hashes) for item in known)
    report: dict[str, Any] = {
        "variants": str(arguments.variants),
        "known_hashes": hashes,
        "hashes_per_second": round(hashes / footage_s, 1),
        "fingerprint_s_per_s": round(sum(took for _, took in said) / footage_s, 2),
        "reference_hashes": Bank.open(banks / OTHERS).manifest.hashes,
        "random_hashes": int(arguments.random),
        "changes": changes,
    }
    passed = all(change["passed"] is not False for change in changes.values())
    if calm:
        report["calm"] = said_calm = _summed_calm(calm_done)
        passed = passed and said_calm["false_matches"] == 0
    return report | {"passed": passed, "took_s": round(time.perf_counter() - started)}


def _gathered(futures: list[Future[Any]], what: str, quiet: bool) -> Iterator[Any]:
    """Results as they come, with a bar on a terminal and lines now and then elsewhere."""
    console = Console(stderr=True)
    said = time.monotonic()
    bar = Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=console, transient=True)
    bar.disable = not console.is_terminal
    with bar:
        task = bar.add_task(what, total=len(futures))
        for number, future in enumerate(as_completed(futures), 1):
            yield future.result()
            bar.advance(task)
            if not console.is_terminal and not quiet and time.monotonic() - said > _EASY_PROGRESS_S:
                said = time.monotonic()
                print(f"{what}: {number}/{len(futures)}", file=sys.stderr, flush=True)


_matcher: Matcher
"""Of this worker process."""


def _open(banks: Path) -> None:
    global _matcher
    _matcher = Matcher.open(banks)


def _fingerprint(path: Path, variants: VariantSet) -> tuple[Footage, float]:
    started = time.process_time()
    footage = fingerprint(path, entry_id=path.stem, variants=variants)
    return footage, time.process_time() - started


def _try(video: Path, name: str, cache: Path) -> Trials:
    clip = SHARED / "data" / "long-calm" / "big-buck-bunny.mp4"
    samples = list(_samples(make_copy(video, name, cache, clip)))
    limit_ms, scene = CHANGES[name].limit_ms, _scene(video.stem)
    starts = range(0, max(1, samples[-1].at_ms - limit_ms), START_EVERY_MS)
    voted = [_voted([s for s in samples if start <= s.at_ms <= start + limit_ms], scene) for start in starts]
    return Trials(
        name,
        tuple(found_ms for found_ms, _ in voted),
        sum(wrong for _, wrong in voted),
        len(samples),
        sum(any(c.bank == KNOWN and _scene(c.entry) == scene for c in s.candidates) for s in samples),
        tuple(s.took_us for s in samples),
    )


def _samples(path: Path) -> Iterator[Looked]:
    due = 0
    for at, _, luma in frames_of(path):
        if at >= due:
            due = at + INTERVAL_MS - 1
            started = time.thread_time()
            candidates = _matcher.query(luma)
            yield Looked(at, candidates, (time.thread_time() - started) * 1e6)


def _voted(samples: list[Looked], scene: str) -> tuple[int | None, bool]:
    """Milliseconds from the first sample until the right video counts, and whether another one does."""
    vote = MatchVote()
    found_ms, wrong = None, False
    for sample in samples:
        for signal in vote.add(sample.at_ms, sample.candidates):
            bank = signal.detail.split(" ", 1)[0].removeprefix("bank=")
            if _scene(str(signal.entry)) != scene:
                wrong = True
            elif bank == KNOWN and found_ms is None:
                found_ms = sample.at_ms - samples[0].at_ms
    return found_ms, wrong


def _scene(stem: str) -> str:
    """Two of the reference videos are other versions of two more."""
    return stem.split("-")[0]


def _summed(change: Change, tried: list[Trials]) -> dict[str, Any]:
    found = [ms for trials in tried for ms in trials.found_ms]
    times = sorted(ms for ms in found if ms is not None)
    share = len(times) / len(found)
    return {
        "found": round(share, 4),
        "goal": change.goal,
        "passed": None if change.goal is None else share >= change.goal,
        "trials": len(found),
        "limit_ms": change.limit_ms,
        "found_ms_p50": times[len(times) // 2] if times else None,
        "wrong": sum(trials.wrong for trials in tried),
        "samples_near": round(sum(t.near for t in tried) / sum(t.samples for t in tried), 4),
        "query_cpu_us": percentiles([us for t in tried for us in t.took_us]),
    }


def _calm_videos() -> list[Path]:
    rows = [line.split(",") for line in (SHARED / "data" / "clips.csv").read_text().splitlines()[1:]]
    clips = [SHARED / "data" / row[0] for row in rows if row[1] == "calm"]
    return [*sorted((SHARED / "data" / "long-calm").glob("*.mp4"), reverse=True), *clips]


def _calm(path: Path) -> Calm:
    vote = MatchVote()
    samples = list(_samples(path))
    return Calm(
        len(samples),
        sum(bool(s.candidates) for s in samples),
        sum(bool(vote.add(s.at_ms, s.candidates)) for s in samples),
        tuple(s.took_us for s in samples),
    )


def _summed_calm(videos: list[Calm]) -> dict[str, Any]:
    return {
        "videos": len(videos),
        "samples": sum(v.samples for v in videos),
        "near_samples": sum(v.near for v in videos),
        "false_matches": sum(v.counted for v in videos),
        "query_cpu_us": percentiles([us for v in videos for us in v.took_us]),
    }


def _reference() -> Iterable[Footage]:
    """All reference hashes that are not the videos' own, whatever their quality."""
    for path in sorted((REFERENCE / "images").rglob("*.jpg")):
        yield fingerprint(path, entry_id=str(path.relative_to(REFERENCE)), min_quality=0)
    for path in sorted((REFERENCE / "vpdq-hashes").glob("*.txt")):
        yield from _read(Import(path, Format.VPDQ, min_quality=0))
    seen: set[str] = set()
    for path in sorted((REFERENCE / "search").glob("*.txt")):
        for item in _read(Import(path, Format.PDQ)):
            if item.entry.id not in seen:
                seen.add(item.entry.id)
                yield replace(item, entry=replace(item.entry, source=path.name))


def _read(changes: Import) -> Iterator[Footage]:
    for change in changes:
        assert isinstance(change, Footage)
        yield change


def _random(count: int) -> Iterable[Footage]:
    octets = np.random.default_rng(0).bytes(32 * count)
    for start in range(0, len(octets), 32):
        bits = octets[start : start + 32]
        yield Footage(Entry(bits.hex(), EntryKind.IMAGE), (HashRun(bits),))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
