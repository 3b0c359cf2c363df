"""A model has the same scores on every machine, or is refused there."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.detect import Detector, default_model_directory, read_pack
from edge.detect.check import check_model
from edge.detect.recorded import drawn_samples, drawn_scores, missed_by, recorded_logits
from edge.detect.session import open_session, usual_kernels_are_exact
from edge.errors import ModelError
from models.train.record import put_model, record

NOISE = "159be906"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A private copy of the shipped motion model, alone in its pack."""
    pack = read_pack(default_model_directory())
    shutil.copy(pack.path_of(pack.motion.model), tmp_path)
    put_model(tmp_path, pack.motion)
    return tmp_path


def written(model: Path) -> dict[str, Any]:
    (only,) = json.loads((model / "manifest.json").read_text())["models"]
    found: dict[str, Any] = only
    return found


def change(model: Path, **values: Any) -> Path:
    path = model / "manifest.json"
    pack = json.loads(path.read_text())
    path.write_text(json.dumps(pack | {"models": [pack["models"][0] | values]}))
    return model


def recorded(model: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = written(model)["recorded"]
    return found


def test_the_shipped_model_scores_as_recorded_to_a_hundredth() -> None:
    detector = Detector.load(default_model_directory())
    distances = missed_by(detector.manifest, drawn_scores(detector.manifest, detector.infer))
    names = drawn_samples(64, 64)
    wanted = {f"{kind} {name!r}" for kind in ("sample", "window") for name in names}
    assert set(distances) == wanted, "run python -m models.train.record"
    assert max(distances.values()) <= 0.01
    assert len(set(detector.manifest.recorded.values())) > 1


class Overflowing:
    """A session whose embeddings are off, as with the usual kernels without VNNI."""

    def __init__(self, session: Any, options: Any, by: float) -> None:
        self._session = session
        self._options = options
        self._by = by

    def run(self, outputs: list[str], feed: dict[str, Any]) -> list[Any]:
        embedding, logits = self._session.run(outputs, feed)
        return [embedding + np.float32(self._by), logits]

    def get_session_options(self) -> Any:
        return self._options

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


@pytest.mark.parametrize(("off_by", "precise"), [(0.0, False), (0.01, True)])
def test_precise_kernels_are_taken_where_the_usual_ones_differ(
    monkeypatch: pytest.MonkeyPatch, off_by: float, precise: bool
) -> None:
    """With the usual kernels, processors with AVX2 but no VNNI miss recorded scores by up to 0.13."""

    def opened(model: bytes, path: Path, *, precise: bool) -> Any:
        # Both use precise kernels, so that only ``off_by`` makes them differ, on any processor.
        session = open_session(model, path, precise=True)
        if precise:
            return session
        usual = open_session(model, path, precise=False)
        return Overflowing(session, usual.get_session_options(), off_by)

    monkeypatch.setattr("edge.detect.detector.open_session", opened)
    monkeypatch.setattr("edge.detect.detector.usual_kernels_are_exact", lambda: False)
    assert Detector.load(default_model_directory()).precise == precise


def _open_precise(open_it: Callable[..., Any], model: bytes, path: Path, *, precise: bool) -> Any:
    return open_it(model, path, precise=True)


@pytest.mark.parametrize(("exact", "kernels"), [(True, 1), (False, 2)])
def test_a_worker_draws_once_and_runs_each_sample_once_in_each_kernel(
    monkeypatch: pytest.MonkeyPatch, exact: bool, kernels: int
) -> None:
    """It did so twice and three times, for 0.4 s of CPU at each start of a worker.

    A processor with VNNI needs no second kernel to compare with. The recorded scores are kept there, too.
    """
    drawn, run = list[int](), list[int]()
    monkeypatch.setattr("edge.detect.detector.usual_kernels_are_exact", lambda: exact)
    # Precise kernels stand for usual ones that are exact: this processor may have no VNNI.
    monkeypatch.setattr("edge.detect.detector.open_session", partial(_open_precise, open_session))

    def drawing(height: int, width: int) -> Any:
        drawn.append(height)
        return drawn_samples(height, width)

    real = Detector._run
    monkeypatch.setattr("edge.detect.detector.drawn_samples", drawing)

    def running(detector: Detector, seen: Any) -> Any:
        run.append(len(seen))
        return real(detector, seen)

    monkeypatch.setattr(Detector, "_run", running)
    Detector.load(default_model_directory())
    assert len(drawn) == 1
    assert len(run) == 1 + kernels * len(drawn_samples(64, 64))


@pytest.mark.parametrize(
    ("said", "exact"),
    [
        ("processor : 0\nflags\t\t: fpu avx2 avx512_vnni\n", True),
        ("flags\t\t: fpu avx2 avx_vnni", True),
        ("flags\t\t: fpu avx2\nvmx flags\t: ept\n", False),
        ("model name\t: avx512_vnni\nflags\t\t: fpu\n", False),
        ("", False),
        (None, False),
    ],
)
def test_exact_kernels_are_known_by_the_flags_of_the_processor(
    tmp_path: Path, said: str | None, exact: bool
) -> None:
    if said is not None:
        (tmp_path / "cpuinfo").write_text(said)
    assert usual_kernels_are_exact(tmp_path / "cpuinfo") == exact


def test_a_processor_on_which_no_kernel_is_exact_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*given: Any, **options: Any) -> Any:
        session = open_session(*given, **options)
        return Overflowing(session, session.get_session_options(), 0.01)

    monkeypatch.setattr("edge.detect.detector.open_session", opened)
    monkeypatch.setattr("edge.detect.detector.usual_kernels_are_exact", lambda: True)
    with pytest.raises(ModelError, match="away from what the manifest recorded"):
        Detector.load(model)


def test_a_processor_said_to_be_exact_that_is_not_gets_the_precise_kernels(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*given: Any, precise: bool) -> Any:
        session = open_session(*given, precise=precise)
        return session if precise else Overflowing(session, session.get_session_options(), 0.01)

    monkeypatch.setattr("edge.detect.detector.open_session", opened)
    monkeypatch.setattr("edge.detect.detector.usual_kernels_are_exact", lambda: True)
    assert Detector.load(model).precise


def test_precise_sessions_ask_onnxruntime_for_it() -> None:
    pack = read_pack(default_model_directory())
    path = pack.path_of(pack.motion.model)
    options = open_session(path.read_bytes(), path, precise=True).get_session_options()
    assert options.get_session_config_entry("session.x64quantprecision") == "1"


def test_drawn_noise_does_not_depend_on_numpy() -> None:
    noise = drawn_samples(512, 512)["noise"]
    assert hashlib.sha256(noise.tobytes()).hexdigest().startswith(NOISE)


@pytest.mark.parametrize(("shift", "missed"), [(0.05, False), (0.2, True), (-0.2, True)])
def test_a_model_that_scores_differently_here_is_refused(model: Path, shift: float, missed: bool) -> None:
    """A logit shift of ``shift`` moves these scores, which are near 0.13, by a ninth of it."""
    there = recorded(model)
    change(model, recorded=there | {"noise": [there["noise"][0] + shift]})
    if not missed:
        assert 0.002 < (check_model(model, 1000.0).recorded_missed_by or 0.0) <= 0.01
        return
    with pytest.raises(ModelError, match=r"sample 'noise' scores 0\.0\d\d away .* limit is 0\.01.*processor"):
        check_model(model, 1000.0)


@pytest.mark.parametrize(("shift", "missed"), [(0.04, False), (0.05, True), (-0.05, True)])
def test_a_model_whose_windows_score_differently_here_is_refused(
    model: Path, shift: float, missed: bool
) -> None:
    """The gate decides by windows. Their embeddings can be off while the logits of the samples are right.

    These windows score 0.02 to 0.1, which hides a difference that would move a score of 0.5 by 0.01.
    """
    there = written(model)["recorded_windows"]
    change(model, recorded_windows=there | {"walker": [there["walker"][0] + shift]})
    if not missed:
        Detector.load(model)
        return
    with pytest.raises(ModelError, match=r"window 'walker' scores 0\.011 away .* limit is 0\.01"):
        Detector.load(model)


def test_embeddings_that_are_off_are_found_by_the_windows(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every kernel alike, and the logits of the samples as recorded."""
    real = Detector._run

    def running(detector: Detector, seen: Any) -> Any:
        embedding, logits = real(detector, seen)
        return embedding * np.float32(1.1), logits

    monkeypatch.setattr(Detector, "_run", running)
    with pytest.raises(ModelError, match="window '"):
        Detector.load(model)


def test_a_score_that_is_no_number_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.detect.detector.missed_by", lambda *_: {"sample 'still'": float("nan")})
    with pytest.raises(ModelError, match="sample 'still' scores nan away"):
        Detector.load(model)


def test_a_model_without_recorded_scores_is_not_compared(model: Path) -> None:
    assert check_model(change(model, recorded={}, recorded_windows={}), 1000.0).recorded_missed_by is None


@pytest.mark.parametrize(
    ("wrong", "named"), [({"noise": [0.1, 0.2]}, "recorded.noise: 2 logits"), ({"rain": [0.1]}, "recorded")]
)
def test_a_record_that_fits_no_sample_or_category_is_refused(
    model: Path, wrong: dict[str, Any], named: str
) -> None:
    with pytest.raises(ModelError, match=named):
        Detector.load(change(model, recorded=wrong))


def test_recording_writes_what_the_model_says_and_nothing_else(model: Path) -> None:
    """Also over a record that no longer matches, as after new training."""
    before = (model / "manifest.json").read_text()
    change(model, recorded={"noise": [9.0]}, recorded_windows={"noise": [9.0]})
    record(model)
    assert (model / "manifest.json").read_text() == before
    detector = Detector.load(model)
    assert detector.manifest.recorded == recorded_logits(drawn_scores(detector.manifest, detector.infer))
