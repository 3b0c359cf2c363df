"""Recall of the two-tier path against dense decoding.

    python -m benchmarks tiers [--json]

Each violent clip is put into a running stream. Calm footage comes first, long enough for the stream to
become calm. Then the clip plays forwards and backwards until the event has lasted ``--event-s``. With
``--cold`` the stream consists of the clip alone, as long as it was filmed.

The stream is encoded as by a live encoder (zero latency, fixed GOP) and judged by the live pipeline:
densely from start to end, and in two tiers. The two-tier path runs once for each of ``--spare-ms``, the
media time of each GOP that an idle worker samples densely. The benchmark measures whether and when the
event is flagged. Its decider begins at the event's first frame, so that neither path profits from an
earlier false flag.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av

from edge.clock import SystemClock
from edge.decide import Decider
from edge.detect import Detector, default_model_directory
from edge.detect.default_policy import default_policy
from edge.domain import AccessUnit, Action, Codec, Signal, SignalSource, new_stream_id
from edge.match import Matcher
from edge.policy import Policy, TierPolicy
from edge.stream import StreamPipeline

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FPS = 30
SIDE = (640, 360)
DENSE = TierPolicy(start_alert_ms=600_000)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one path found in one stream."""

    flag_s: float | None
    """Time from the event's first frame to its first FLAG or CUT, in seconds."""
    cut_s: float | None
    decoded: int
    samples: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Compared:
    """One stream on both paths."""

    path: str
    event_s: float
    """Length of the event in seconds; 0 for a calm stream."""
    dense: Seen
    two_tier: dict[int, Seen]
    """Results by ``--spare-ms``."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks tiers", description=__doc__)
    parser.add_argument("--clips", type=int, default=0, help="Most violent clips to use (0: all).")
    parser.add_argument("--calm", type=int, default=20, help="Calm streams to count false flags on.")
    parser.add_argument("--source", default="surveillance-fights", help="Folder of clips, or `all`.")
    parser.add_argument("--lead", default="calm-mix", help="Folder of the calm footage before, or `all`.")
    parser.add_argument("--event-s", type=float, default=8.0, help="How long the event lasts (0: as filmed).")
    parser.add_argument("--gop-s", type=float, default=2.0)
    parser.add_argument("--bitrate-jump", type=float, default=TierPolicy().bitrate_jump, help="0: off.")
    parser.add_argument("--cold", action="store_true", help="Use each clip alone as a new stream.")
    parser.add_argument("--spare-ms", type=int, nargs="+", default=[0], help="Dense part of each calm GOP.")
    parser.add_argument("--b-frames", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--each", action="store_true", help="Also every stream (with --json).")
    options = parser.parse_args(argv)
    if not (DATA / "clips.csv").is_file():
        print("this benchmark needs ../shared/data", file=sys.stderr)
        return 2
    violent, calm = _clips(options.source, "violent"), _clips(options.lead, "calm")
    order = random.Random(1)
    order.shuffle(violent)
    violent = violent[: options.clips or None]
    detector, matcher = Detector.load(default_model_directory()), Matcher.open(None)
    policy = default_policy(default_model_directory())
    dense = policy.model_copy(update={"tiers": DENSE})
    start_ms = TierPolicy().start_alert_ms if options.cold else 0
    tiers = TierPolicy(start_alert_ms=start_ms, bitrate_jump=options.bitrate_jump)
    two_tier = policy.model_copy(update={"tiers": tiers})
    compared = []
    for number, path in enumerate([*violent, *(order.choice(calm) for _ in range(options.calm))]):
        lead = order.choice(calm)
        lead_s = 0.0 if options.cold else order.uniform(5.0, 7.0)
        is_event = number < len(violent)
        event_s = 0.0 if options.cold else options.event_s
        pictures = _pictures(lead, path, lead_s, event_s if is_event else 8.0)
        units, onset_ms = _encoded(pictures, options.gop_s, options.b_frames)
        seen = {
            spare_ms: _watch(units, onset_ms, two_tier, detector, matcher, spare_ms)
            for spare_ms in options.spare_ms
        }
        compared.append(
            Compared(
                str(path.relative_to(DATA)),
                (units[-1].pts_ms - onset_ms) / 1000 if is_event else 0.0,
                _watch(units, onset_ms, dense, detector, matcher, 0),
                seen,
            )
        )
        if not options.json:
            print(f"\r{number + 1} streams", end="", file=sys.stderr, flush=True)
    reports = {spare_ms: _report(compared, spare_ms) for spare_ms in options.spare_ms}
    if options.json:
        shown: dict[str, object] = {"by_spare_ms": reports}
        if options.each:
            shown["each"] = [asdict(one) for one in compared]
        print(json.dumps(shown, indent=2))
    else:
        print(file=sys.stderr)
        print(f"{'spare_ms':28}", *(f"{spare_ms:>36}" for spare_ms in options.spare_ms))
        for name in next(iter(reports.values())):
            print(f"{name:28}", *(f"{report[name]!s:>36}" for report in reports.values()))
    return 0


def _clips(source: str, label: str) -> list[Path]:
    with (DATA / "clips.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if source == "all" or f"/{source}/" in row["path"]]
    clips = [DATA / row["path"] for row in rows if row["label"] == label]
    if not clips:
        raise SystemExit(f"no {label} clips in {source!r}")
    return clips


def _pictures(lead: Path, event: Path, lead_s: float, event_s: float) -> Iterator[tuple[av.VideoFrame, bool]]:
    """Yields frames at ``FPS``, and whether each belongs to the event."""
    shown = _decoded(lead)
    for index in range(round(lead_s * FPS)):
        yield shown[_there_and_back(index, len(shown))], False
    shown = _decoded(event)
    for index in range(round(event_s * FPS) or len(shown)):
        yield shown[_there_and_back(index, len(shown))], True


def _there_and_back(index: int, count: int) -> int:
    """Returns the frame to show, forwards and then backwards, without a jump at either end."""
    place = index % max(2 * count - 2, 1)
    return place if place < count else 2 * count - 2 - place


def _decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        frames: list[av.VideoFrame] = []
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time * FPS >= len(frames) - 0.5:
                frames.append(frame.reformat(*SIDE, format="yuv420p"))
            if len(frames) >= 8 * FPS:
                break
        return frames


def _encoded(
    pictures: Iterable[tuple[av.VideoFrame, bool]], gop_s: float, b_frames: int
) -> tuple[list[AccessUnit], int]:
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height = SIDE
    context.pix_fmt = "yuv420p"
    context.framerate, context.time_base = Fraction(FPS), Fraction(1, 1000)
    context.gop_size = round(gop_s * FPS)
    context.max_b_frames = b_frames
    context.options = {"preset": "superfast", "crf": "24", "sc_threshold": "0"}
    if not b_frames:
        context.options |= {"tune": "zerolatency"}
    packets: list[av.Packet[av.VideoStream]] = []
    onset_ms: int | None = None
    for index, (picture, event) in enumerate(pictures):
        picture.pts, picture.time_base = round(index * 1000 / FPS), Fraction(1, 1000)
        picture.pict_type = av.video.frame.PictureType.NONE
        if event and onset_ms is None:
            onset_ms = picture.pts
        packets += context.encode(picture)
    packets += context.encode(None)
    delay_ms = -min(p.dts or 0 for p in packets)
    units = [
        AccessUnit((p.pts or 0) + delay_ms, (p.dts or 0) + delay_ms, p.is_keyframe, bytes(p), 0.0)
        for p in packets
    ]
    return units, (onset_ms or 0) + delay_ms


def _watch(
    units: list[AccessUnit],
    onset_ms: int,
    policy: Policy,
    detector: Detector,
    matcher: Matcher,
    spare_ms: int,
) -> Seen:
    pipeline = StreamPipeline(new_stream_id(), Codec.H264, b"", policy, detector, matcher, SystemClock())
    pipeline.spare(spare_ms)
    decider = Decider(policy)
    first: dict[Action, float] = {}
    start = time.process_time()

    def judge(samples: Iterable[object]) -> None:
        for sample in samples:
            verdict = pipeline.judge(sample).verdict  # type: ignore[arg-type]
            if verdict.pts_ms < onset_ms:
                continue
            decision = decider.decide(_scores(verdict.signals, verdict.pts_ms), verdict.pts_ms)
            first.setdefault(decision.action, (verdict.pts_ms - onset_ms) / 1000)

    for unit in units:
        judge(pipeline.decode(unit))
    judge(pipeline.drain())
    cpu_s = time.process_time() - start
    cut_s = first.get(Action.CUT)
    flag_s = min((s for s in (first.get(Action.FLAG), cut_s) if s is not None), default=None)
    counters = pipeline.counters
    return Seen(flag_s, cut_s, counters.decoded, counters.samples, round(cpu_s, 4))


def _scores(signals: Iterable[Signal], pts_ms: int) -> list[Signal]:
    return [s for s in signals if s.source is SignalSource.DETECT and s.pts_ms == pts_ms]


def _report(compared: list[Compared], spare_ms: int) -> dict[str, object]:
    pairs = [(one.dense, one.two_tier[spare_ms]) for one in compared]
    events = [pair for one, pair in zip(compared, pairs, strict=True) if one.event_s]
    calm = [pair for one, pair in zip(compared, pairs, strict=True) if not one.event_s]
    flags = [(d.flag_s, t.flag_s) for d, t in events if d.flag_s is not None]
    cuts = [(d.cut_s, t.cut_s) for d, t in events if d.cut_s is not None]
    flag_delays = [t - d for d, t in flags if t is not None]
    cut_delays = [t - d for d, t in cuts if t is not None]
    return {
        "streams": len(events),
        "flagged_dense": len(flags),
        "flagged_two_tier": sum(t.flag_s is not None for _, t in events),
        "recall_of_dense": round(len(flag_delays) / len(flags), 4) if flags else None,
        "first_flag_delay_s": _delays(flag_delays),
        "cut_dense": len(cuts),
        "recall_of_dense_cuts": round(len(cut_delays) / len(cuts), 4) if cuts else None,
        "cut_delay_s": _delays(cut_delays),
        "calm_streams": len(calm),
        "calm_flagged_dense": sum(d.flag_s is not None for d, _ in calm),
        "calm_flagged_two_tier": sum(t.flag_s is not None for _, t in calm),
        "decoded_share": _share([(t.decoded, d.decoded) for d, t in pairs]),
        "calm_decoded_share": _share([(t.decoded, d.decoded) for d, t in calm]),
        "cpu_share": _share([(t.cpu_s, d.cpu_s) for d, t in pairs]),
        "calm_cpu_share": _share([(t.cpu_s, d.cpu_s) for d, t in calm]),
    }


def _delays(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    ordered = sorted(values)
    return {
        "p50": round(statistics.median(ordered), 3),
        "p90": round(ordered[int(0.9 * (len(ordered) - 1))], 3),
        "max": round(ordered[-1], 3),
    }


def _share(pairs: list[tuple[float, float]]) -> float | None:
    whole = sum(b for _, b in pairs)
    return round(sum(a for a, _ in pairs) / whole, 4) if whole else None
