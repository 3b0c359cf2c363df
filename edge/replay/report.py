"""Judges one file with the live pipeline and reports the result."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edge.clock import SystemClock
from edge.containment import ProcessRole
from edge.containment import role as roles
from edge.detect import Detector
from edge.domain import Action, Signal, SignalSource, Verdict, new_stream_id
from edge.errors import BrokenMedia, GateError, TooShort
from edge.evidence import Sampling, sampling_of
from edge.match import ITEM_SPAN_MS, AudioItems, AudioMatcher, Matcher, audio_items_of, available
from edge.policy import Policy
from edge.recorded_media import unexpected
from edge.stream import FILE_PICTURES, StreamPipeline, open_media_file

_NO_RECORD = Sampling(b"replay", 0)
"""Draws of a file that is no clip of an incident: the same in every replay."""


_FIELDS = (
    *("path", "duration_s", "samples", "score_max", "score_mean", "verdict", "shadow"),
    *("first_flag_s", "first_cut_s", "reason", "matches", "categories"),
)


@dataclass(frozen=True, slots=True)
class ReplaySetup:
    """The configuration for judging files. It is small enough to send to another process."""

    model_dir: Path
    bank_dir: Path | None
    policy: Policy

    def open_judge(self) -> Replay:
        return Replay(self)

    def role(self, paths: Sequence[Path]) -> ProcessRole:
        return roles.replay([self.model_dir], [self.bank_dir] if self.bank_dir else [], paths)

    def take(self, path: Path, report: dict[str, Any]) -> dict[str, Any]:
        wanted = {name: report[name] for name in _FIELDS}
        return {**wanted, "windows": report["windows"]} if "windows" in report else wanted


@dataclass(slots=True)
class Match:
    """A bank entry that matched in this file."""

    entry: str
    category: str
    first_s: float
    last_s: float
    distance: int
    """Least Hamming distance in bits. -1 where the sound matched."""
    samples: int
    by: SignalSource


@dataclass(slots=True)
class _CategoryScores:
    """What a file's samples said of one category."""

    scores: list[float] = field(default_factory=list)
    first_s: dict[Action, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "score_max": round(max(self.scores), 5),
            "score_mean": round(sum(self.scores) / len(self.scores), 5),
            "first_flag_s": self.first_s.get(Action.FLAG),
            "first_cut_s": self.first_s.get(Action.CUT),
        }


class Replay:
    """Judges files one after the other with one detector and one matcher."""

    def __init__(self, setup: ReplaySetup) -> None:
        self._policy = setup.policy
        self._detector = Detector.load(setup.model_dir)
        self._matcher = Matcher.open(setup.bank_dir, radius=setup.policy.match.radius)

    def run(self, path: Path, *, windows: bool = False) -> dict[str, Any]:
        """Returns the report on one file. It holds ``error`` and ``reason`` when the file cannot be judged.

        For the clip of an incident the same frames are drawn as by the gate, where its record lies beside it.

        Times are seconds from the file's first frame. Scores are calibrated window probabilities.
        """
        return spared(path, lambda: self._judge(path, windows))

    def _audio_of(self, path: Path) -> _FileAudio:
        match = self._policy.match
        wanted = match.enabled and match.sound_action is not Action.PASS
        listens = wanted and self._matcher.has_audio and available()
        return _FileAudio(audio_items_of(path) if listens else iter(()), self._matcher)

    def _judge(self, path: Path, windows: bool) -> dict[str, Any]:
        first: dict[Action, float] = {}
        decided: Verdict | None = None
        matches: dict[str, Match] = {}
        scores: list[tuple[float, float]] = []
        categories: dict[str, _CategoryScores] = {}
        sampling = sampling_of(path) or _NO_RECORD
        with open_media_file(path) as media:
            pipeline = StreamPipeline(
                new_stream_id(),
                media.codec,
                media.extradata,
                self._policy,
                self._detector,
                self._matcher,
                SystemClock(),
                largest=FILE_PICTURES,
                seed=sampling.seed,
            )
            start_ms: int | None = None
            last_ms = 0

            def judge(samples: Any) -> None:
                nonlocal decided
                for sample in samples:
                    judgement = pipeline.judge(sample)
                    verdict = judgement.verdict
                    at_s = max(0, verdict.pts_ms - (start_ms or 0)) / 1000
                    scores.append((at_s, judgement.score))
                    if verdict.action is not Action.PASS:
                        first.setdefault(verdict.action, at_s)
                        if decided is None or _weight(verdict) > _weight(decided):
                            decided = verdict
                    _note_matches(matches, verdict, at_s)
                    _note_categories(categories, verdict, at_s)

            sound = self._audio_of(path)
            for unit in media.units():
                if sampling.start_pts_ms:
                    unit = replace(
                        unit,
                        pts_ms=unit.pts_ms + sampling.start_pts_ms,
                        dts_ms=unit.dts_ms + sampling.start_pts_ms,
                    )
                start_ms = unit.pts_ms if start_ms is None else min(start_ms, unit.pts_ms)
                last_ms = max(last_ms, unit.pts_ms)
                pipeline.hear(sound.until(unit.pts_ms - start_ms))
                judge(pipeline.decode(unit))
            pipeline.hear(sound.until(None))
            judge(pipeline.drain())
            duration_s = media.duration_s or (last_ms - (start_ms or 0)) / 1000
        if not scores:
            raise TooShort(f"{path}: too short for one sample; `edge-gate bank match` looks pictures up")
        values = [score for _, score in scores]
        report: dict[str, Any] = {
            "path": str(path),
            "duration_s": round(duration_s, 3),
            "samples": len(scores),
            "score_max": round(max(values), 5),
            "score_mean": round(sum(values) / len(values), 5),
            "verdict": (decided.action if decided is not None else Action.PASS).value,
            "shadow": decided is not None and decided.shadow,
            "first_flag_s": first.get(Action.FLAG),
            "first_cut_s": first.get(Action.CUT),
            "reason": decided.reason if decided is not None else "",
            "matches": [
                {
                    "entry": match.entry,
                    "category": match.category,
                    "by": "sound" if match.by is SignalSource.AUDIO else "picture",
                    "first_s": match.first_s,
                    "last_s": match.last_s,
                    "distance": match.distance,
                    "samples": match.samples,
                }
                for match in matches.values()
            ],
            "categories": {name: one.as_json() for name, one in sorted(categories.items())},
        }
        if windows:
            report["windows"] = [[round(at_s, 3), round(score, 5)] for at_s, score in scores]
        return report


class _FileAudio:
    """Finds the known sound of a file as its media time advances."""

    def __init__(self, items: Iterator[AudioItems], matcher: Matcher) -> None:
        self._items = items
        self._listening = AudioMatcher(matcher)
        self._next: AudioItems | None = None

    def until(self, pts_ms: int | None) -> tuple[Signal, ...]:
        """Returns new matches of sound up to ``pts_ms``, or to the end with None.

        An item counts once all of its sound is before ``pts_ms``.
        """
        signals: tuple[Signal, ...] = ()
        while True:
            if self._next is None:
                self._next = next(self._items, None)
            item = self._next
            if item is None or (pts_ms is not None and item.start_ms + ITEM_SPAN_MS > pts_ms):
                return signals
            if item.restarted:
                self._listening.restart()
            signals += self._listening.add_items(item.items, item.start_ms)
            self._next = None


def spared(path: Path, judge: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Returns the report, or an error report when the file cannot be judged, so that other files continue."""
    try:
        return judge()
    except GateError as error:
        return {"path": str(path), "error": str(error), "reason": error.reason}
    except OSError as error:
        return {"path": str(path), "error": error.strerror or str(error), "reason": "unreadable"}
    except Exception as error:  # of a library, on this file
        return {"path": str(path), "error": unexpected(error), "reason": BrokenMedia.reason}


def _weight(verdict: Verdict) -> tuple[bool, bool]:
    """A CUT weighs more than a FLAG, and of two alike the one that is acted on."""
    return verdict.action is Action.CUT, not verdict.shadow


def _note_categories(categories: dict[str, _CategoryScores], verdict: Verdict, at_s: float) -> None:
    """Takes this sample's scores. Signals of earlier samples, on which a verdict rests too, are known."""
    for signal in verdict.signals:
        now = signal.source is SignalSource.DETECT and signal.pts_ms == verdict.pts_ms
        if now and not math.isnan(signal.score):
            categories.setdefault(signal.category, _CategoryScores()).scores.append(signal.score)
    if verdict.category in categories:
        categories[verdict.category].first_s.setdefault(verdict.action, at_s)


def _note_matches(matches: dict[str, Match], verdict: Verdict, at_s: float) -> None:
    for signal in verdict.signals:
        if signal.source is SignalSource.DETECT or signal.entry is None:
            continue
        distance = -1 if signal.distance is None else signal.distance
        key = f"{signal.source} {signal.entry}"
        known = matches.get(key)
        if known is None:
            matches[key] = Match(signal.entry, signal.category, at_s, at_s, distance, 1, signal.source)
        else:
            known.last_s = at_s
            known.distance = min(known.distance, distance)
            known.samples += 1
