"""Judges one file, its motion, single frames and audio, with the live pipeline. Reports the result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge.clock import SystemClock
from edge.containment import ProcessRole
from edge.containment import role as roles
from edge.detect.loaded_pack import LoadedPack
from edge.detect.sight.stream_sight import StreamSight
from edge.domain import Codec, Sample, Signal, new_stream_id
from edge.errors import BrokenMedia, GateError, NoVideo, TooShort
from edge.evidence import Sampling, sampling_of
from edge.match import Matcher
from edge.policy import Policy
from edge.recorded_media import unexpected
from edge.replay.file_audio import FileAudio
from edge.replay.judged_file import JudgedFile
from edge.stream import FILE_FRAMES, AnyCodec, MediaFile, StreamPipeline, open_media_file, resampler

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
        return wanted | {name: report[name] for name in ("windows", "verdicts") if name in report}


class Replay:
    """Judges files one after the other with one detector and one matcher."""

    def __init__(self, setup: ReplaySetup) -> None:
        self._policy = setup.policy
        self._pack = LoadedPack.load(setup.model_dir)
        self._matcher = Matcher.open(setup.bank_dir, radius=setup.policy.match.radius)
        resampler()  # a contained process can no longer load it

    def run(self, path: Path, *, windows: bool = False) -> dict[str, Any]:
        """Returns the report on one file. It holds ``error`` and ``reason`` when the file cannot be judged.

        For the clip of an incident the same frames are drawn as by the gate, where its record lies beside it.

        Times are seconds from the start of the file's video, or of its audio where it has none. Scores are
        calibrated window probabilities.
        """
        return spared(path, lambda: self._judge(path, windows))

    def _judge(self, path: Path, windows: bool) -> dict[str, Any]:
        sampling = sampling_of(path) or _NO_RECORD
        audio = FileAudio(path, self._policy, self._pack.audio, self._matcher, sampling.start_pts_ms)
        try:
            with open_media_file(path) as media:
                pipeline = self._pipeline(media.codec, media.extradata, sampling)
                judging = _Judging(pipeline, audio, self._sight())
                duration_s = judging.watch(media, sampling.start_pts_ms) / 1000
                duration_s = media.duration_s or duration_s
        except NoVideo as error:
            if not audio.listens:
                raise NoVideo(f"{error}, and nothing judges audio: see `edge-gate model show`") from None
            # As of a live stream whose frame has not come.
            judging = _Judging(self._pipeline(Codec.H264, b"", sampling), audio, None)
            duration_s = judging.listen() / 1000
        if not judging.judged:
            raise TooShort(f"{path}: too short for one sample; `edge-gate bank match` looks images up")
        said = judging.file.report()
        report = {"path": str(path), "duration_s": round(duration_s, 3), **said}
        if not windows:
            return report
        return {**report, "windows": judging.file.windows(), "verdicts": judging.file.verdicts}

    def _sight(self) -> StreamSight | None:
        """What looks at single frames. None: nothing does."""
        model = self._pack.sight
        on = frozenset(() if model is None else model.categories).intersection(self._policy.judged)
        return StreamSight(model, on) if model is not None and on else None

    def _pipeline(self, codec: AnyCodec, extradata: bytes, sampling: Sampling) -> StreamPipeline:
        return StreamPipeline(
            new_stream_id(),
            codec,
            extradata,
            self._policy,
            self._pack.detector,
            self._matcher,
            SystemClock(),
            largest=FILE_FRAMES,
            seed=sampling.seed,
        )


class _Judging:
    """One file on its way through a live pipeline."""

    def __init__(self, pipeline: StreamPipeline, audio: FileAudio, sight: StreamSight | None) -> None:
        self.file = JudgedFile()
        self._pipeline = pipeline
        self._audio = audio
        self._sight = sight
        pipeline.show(sight)
        self._start_ms = 0
        self._listened = False

    @property
    def judged(self) -> bool:
        """Whether anything could be judged."""
        return bool(self.file.samples or self._audio.windows) or self._listened

    def watch(self, media: MediaFile, begin_ms: int) -> int:
        """Judges video and audio. Returns the length in milliseconds as the video's stamps have it."""
        first_ms: int | None = None
        last_ms = 0
        for unit in media.units():
            if begin_ms:
                unit = replace(unit, pts_ms=unit.pts_ms + begin_ms, dts_ms=unit.dts_ms + begin_ms)
            first_ms = unit.pts_ms if first_ms is None else min(first_ms, unit.pts_ms)
            self._start_ms = first_ms
            last_ms = max(last_ms, unit.pts_ms)
            self._hear(unit.pts_ms, video=True)
            self._judge(self._pipeline.decode(unit))
            self._look()
        self._hear(None, video=True)
        self._judge(self._pipeline.drain())
        self._look()
        self.file.add_silence(self._audio.categories, self._audio.windows)
        return last_ms - (first_ms or 0)

    def listen(self) -> float:
        """Judges audio alone. Returns its length in milliseconds."""
        self._hear(None, video=False)
        self._listened = self._audio.length_ms > 0
        self.file.add_silence(self._audio.categories, self._audio.windows)
        return self._audio.length_ms

    def _judge(self, samples: Iterable[Sample]) -> None:
        for sample in samples:
            judgement = self._pipeline.judge(sample)
            verdict = judgement.verdict
            at_s = self._at_s(verdict.pts_ms)
            self.file.samples.append(judgement.score)
            self.file.add_scores(verdict.signals, verdict.pts_ms, at_s)
            self.file.add_verdict(verdict, at_s)

    def _hear(self, pts_ms: int | None, *, video: bool) -> None:
        for heard in self._audio.until(pts_ms):
            if video:  # the next sample decides, as live
                self._pipeline.hear(heard.known)
            elif heard.known:
                self._decide(heard.known)
            for signals in heard.windows:
                self._decide(signals)

    def _look(self) -> None:
        if self._sight is None:
            return
        for picture in self._sight.waiting():
            signals = self._sight.judge(picture)
            if self._sight.goes_on:
                self._pipeline.ask_alert(self._sight.look_again_ms)
            self._decide(signals)
        self._decide(self._sight.expire(self._pipeline.newest_pts_ms))

    def _decide(self, signals: tuple[Signal, ...]) -> None:
        if not signals:
            return
        pts_ms = max(signal.pts_ms for signal in signals)
        self.file.add_scores(signals, pts_ms, self._at_s(pts_ms))
        judgement = self._pipeline.judge_witness(signals, 0.0)
        if judgement is not None:
            self.file.add_verdict(judgement.verdict, self._at_s(pts_ms))

    def _at_s(self, pts_ms: int) -> float:
        return max(0, pts_ms - self._start_ms) / 1000


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
