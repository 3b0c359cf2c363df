"""How much known footage is found when it is re-broadcast changed, and how much is found falsely.

    python -m benchmarks evasion --json

The reference videos are banked with their variants, beside all other reference hashes (images, vPDQ lists,
search lists) and a million random ones. ffmpeg makes the changed copies. Each copy is sampled as a live
stream in the dense tier, looked up and voted on, starting anew at every half second. A trial is found when
the vote counts the right video within the limit. Then all calm footage goes the same way, and nothing of it
may count. Exits with 1 when a goal is missed.

A run takes long, so it can be done in chunks. --seconds ends a run early with exit code 3, and the same
command continues it. Copies, banks and results are kept (--cache). Banks and results belong to the code and
data that they were made with. --anew measures everything again.
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
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

import edge.match
from benchmarks import _changes
from benchmarks._changes import CHANGES, Change, make_copy
from benchmarks._evasion_banks import KNOWN, banks_of
from benchmarks._kept import Kept, digest_of
from benchmarks._percentiles import percentiles
from edge.match import Candidate, Matcher, MatchVote, PdqHash, StreamMatcher, VariantSet, frames_of
from edge.match.evasion.filmed_screen import Quad

SHARED = Path(__file__).resolve().parents[2] / "shared"
REFERENCE = SHARED / "reference" / "pdq"
CLIP = SHARED / "data" / "long-calm" / "big-buck-bunny.mp4"
INTERVAL_MS = 200
START_EVERY_MS = 500
_EASY_PROGRESS_S = 20.0


@dataclass(frozen=True, slots=True)
class Looked:
    """One sample that was looked up."""

    at_ms: int
    plain: tuple[Candidate, ...]
    """Candidates in the frame as it is."""
    rescanned: tuple[Candidate, ...]
    """Candidates of a rescan, when the frame itself has none."""
    unknown: PdqHash | None
    """The frame's hash, when the frame itself shows nothing known."""
    took_us: float
    """Thread CPU time of both lookups. Other work on the machine does not count."""
    luma: npt.NDArray[np.uint8]
    """Luma plane; empty when it is not needed."""

    @property
    def near(self) -> tuple[Candidate, ...]:
        return self.plain or self.rescanned


class Replayed:
    """Lookups that were made once, for all trials that they belong to. Filmed screens are searched anew."""

    sample: Looked

    def query(
        self, luma: npt.NDArray[np.uint8], *, may_rescan: Callable[[PdqHash], bool]
    ) -> tuple[Candidate, ...]:
        unknown = self.sample.unknown
        return self.sample.rescanned if unknown is not None and may_rescan(unknown) else self.sample.plain

    def query_screens(self, luma: npt.NDArray[np.uint8], screens: Iterable[Quad]) -> tuple[Candidate, ...]:
        return _matcher.query_screens(luma, screens)


@dataclass(frozen=True, slots=True)
class Trials:
    """Trials of one copy of one video."""

    found_ms: list[int | None]
    wrong: int
    """Trials in which another entry counted."""
    samples: int
    near: int
    """Samples with the right video within the radius."""
    took_us: list[float]


@dataclass(frozen=True, slots=True)
class Calm:
    """Trials of one calm video."""

    samples: int
    near: int
    counted: int
    took_us: list[float]
    """Time of all lookups per sample, filmed screens included."""


def main(argv: Sequence[str]) -> int:
    """Runs the benchmark and prints one JSON document."""
    parser = argparse.ArgumentParser(
        prog="benchmarks evasion", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--variants", type=VariantSet, choices=list(VariantSet), default=VariantSet.WIDE)
    parser.add_argument("--random", type=float, default=1e6, help="random hashes beside the known ones")
    parser.add_argument("--only", nargs="*", choices=list(CHANGES), metavar="CHANGE", help="changes to try")
    parser.add_argument("--videos", nargs="*", metavar="NAME", help="reference videos to take (all)")
    parser.add_argument("--no-calm", action="store_true", help="leave out the calm footage")
    parser.add_argument("--seconds", type=float, help="end after this long; the same command continues")
    parser.add_argument("--anew", action="store_true", help="ignore kept results and measure again")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir()) / "edge-gate-evasion",
        help="where copies, banks and results are kept (%(default)s)",
    )
    arguments = parser.parse_args(argv)
    videos = sorted((REFERENCE / "videos").glob("*.mp4"))
    if arguments.videos:
        videos = [path for path in videos if path.stem in arguments.videos]
    if not videos or shutil.which("ffmpeg") is None:
        print("needs ../shared/reference/pdq and ffmpeg", file=sys.stderr)
        return 2
    report = _measure(videos, arguments)
    print(json.dumps(report, indent=None if arguments.json else 1))
    if report["left"]:
        print(f"{report['left']} lookups are left: the same command goes on there", file=sys.stderr)
        return 3
    return 0 if report["passed"] else 1


def _measure(videos: list[Path], arguments: argparse.Namespace) -> dict[str, Any]:
    ends = time.monotonic() + (arguments.seconds or float("inf"))
    code = Path(edge.match.__file__).parent.glob("*.py")
    banked = digest_of([*code, *videos], str(arguments.variants), int(arguments.random))
    banks = arguments.cache / f"banks-{banked}"
    how = digest_of([Path(__file__), Path(_changes.__file__)], banked)
    results = arguments.cache / f"results-{how}.jsonl"
    if arguments.anew:
        results.unlink(missing_ok=True)
    kept = Kept(results)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.workers, mp_context=context) as pool:
        random = int(arguments.random)
        facts = banks_of(banks, REFERENCE, videos, arguments.variants, random, pool, _say)
    names = [name for name in CHANGES if not arguments.only or name in arguments.only]
    calm = [] if arguments.no_calm else _calm_videos()
    # The long ones go first, so that they do not run alone in the end.
    work: list[tuple[str, Callable[..., Any], tuple[Any, ...]]] = [
        (_calm_name(path), _calm, (path,)) for path in calm
    ]
    work += [
        (f"{name}/{path.stem}", _try, (path, name, arguments.cache)) for name in names for path in videos
    ]
    left = [one for one in work if one[0] not in kept]
    with ProcessPoolExecutor(
        arguments.workers, mp_context=context, initializer=_open, initargs=(banks,)
    ) as pool:
        for name, result in _gathered(pool, left, len(work), ends, arguments.workers):
            kept.keep(name, asdict(result))
    changes: dict[str, dict[str, Any]] = {}
    for name in names:
        tasks = [f"{name}/{path.stem}" for path in videos]
        if all(task in kept for task in tasks):
            changes[name] = _summed(CHANGES[name], [Trials(**kept[task]) for task in tasks])
    report: dict[str, Any] = {"variants": str(arguments.variants), **asdict(facts), "changes": changes}
    passed = all(change["passed"] is not False for change in changes.values())
    looked = [Calm(**kept[_calm_name(path)]) for path in calm if _calm_name(path) in kept]
    if looked:
        report["calm"] = _summed_calm(looked)
        passed = passed and report["calm"]["false_matches"] == 0
    return report | {"passed": passed, "left": sum(name not in kept for name, _, _ in work)}


def _gathered(
    pool: ProcessPoolExecutor,
    work: list[tuple[str, Callable[..., Any], tuple[Any, ...]]],
    total: int,
    ends: float,
    workers: int,
) -> Iterator[tuple[str, Any]]:
    """Yields results as they come and starts none after the end. Shows a bar on a terminal, lines now and
    then elsewhere."""
    console = Console(stderr=True)
    said = time.monotonic()
    bar = Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=console, transient=True)
    bar.disable = not console.is_terminal
    waiting = iter(work)
    running: dict[Future[Any], str] = {}
    done = total - len(work)
    with bar:
        task = bar.add_task("lookups", total=total, completed=done)
        while True:
            while len(running) < workers + 1 and time.monotonic() < ends:
                if (one := next(waiting, None)) is None:
                    break
                running[pool.submit(one[1], *one[2])] = one[0]
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
                done += 1
                bar.advance(task)
            if not console.is_terminal and time.monotonic() - said > _EASY_PROGRESS_S:
                said = time.monotonic()
                _say(f"lookups: {done}/{total}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


_matcher: Matcher
"""The matcher of this worker process."""


def _open(banks: Path) -> None:
    global _matcher
    _matcher = Matcher.open(banks)


def _try(video: Path, name: str, cache: Path) -> Trials:
    samples = list(_samples(make_copy(video, name, cache, CLIP)))
    limit_ms, scene = CHANGES[name].limit_ms, _scene(video.stem)
    starts = range(0, max(1, samples[-1].at_ms - limit_ms), START_EVERY_MS)
    voted = [_voted([s for s in samples if start <= s.at_ms <= start + limit_ms], scene) for start in starts]
    return Trials(
        [found_ms for found_ms, _ in voted],
        sum(wrong for _, wrong in voted),
        len(samples),
        sum(any(c.bank == KNOWN and _scene(c.entry) == scene for c in s.near) for s in samples),
        [round(s.took_us, 1) for s in samples],
    )


def _samples(path: Path) -> Iterator[Looked]:
    """Yields looked-up frames, which no trial changes. Keeps frames in which a filmed screen may be
    searched."""
    nothing = np.empty((0, 0), np.uint8)
    unknown: PdqHash | None = None

    def take_hash(frame: PdqHash) -> bool:
        nonlocal unknown
        unknown = frame
        return False

    for at, luma in _due(path):
        started = time.thread_time()
        unknown = None
        plain = _matcher.query(luma, may_rescan=take_hash)
        if not plain:
            started = time.thread_time()
        rescanned = () if plain else _matcher.query(luma)
        took_us = (time.thread_time() - started) * 1e6
        yield Looked(at, plain, rescanned, unknown, took_us, nothing if plain else luma.copy())


def _due(path: Path) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """Yields the frames that are samples: media time in ms, and luma."""
    due = 0
    for at, _, luma in frames_of(path):
        if at >= due:
            due = at + INTERVAL_MS - 1
            yield at, luma


def _voted(samples: list[Looked], scene: str) -> tuple[int | None, bool]:
    """Returns the milliseconds from the first sample until the right video counts, and whether another one
    does."""
    replayed = Replayed()
    vote, lookup = MatchVote(), StreamMatcher(replayed)
    found_ms, wrong = None, False
    for replayed.sample in samples:
        sample = replayed.sample
        for signal in vote.add_candidates(sample.at_ms, lookup.query(sample.at_ms, sample.luma)):
            bank = signal.bank or ""
            if _scene(str(signal.entry)) != scene:
                wrong = True
            elif bank == KNOWN and found_ms is None:
                found_ms = sample.at_ms - samples[0].at_ms
    return found_ms, wrong


def _scene(stem: str) -> str:
    """Returns the scene of a reference video. Two of the videos are other versions of two more."""
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


def _calm_name(path: Path) -> str:
    return f"calm/{path.relative_to(SHARED)}"


def _calm(path: Path) -> Calm:
    vote, lookup = MatchVote(), StreamMatcher(_matcher)
    near = counted = 0
    took_us = []
    for at, luma in _due(path):
        started = time.thread_time()
        candidates = lookup.query(at, luma)
        took_us.append(round((time.thread_time() - started) * 1e6, 1))
        near += bool(candidates)
        counted += bool(vote.add_candidates(at, candidates))
    return Calm(len(took_us), near, counted, took_us)


def _summed_calm(videos: list[Calm]) -> dict[str, Any]:
    return {
        "videos": len(videos),
        "samples": sum(v.samples for v in videos),
        "near_samples": sum(v.near for v in videos),
        "false_matches": sum(v.counted for v in videos),
        "query_cpu_us": percentiles([us for v in videos for us in v.took_us]),
        "query_cpu_us_mean": _mean(us for v in videos for us in v.took_us),
    }


def _mean(values: Iterable[float]) -> float:
    given = list(values)
    return round(sum(given) / max(1, len(given)), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
