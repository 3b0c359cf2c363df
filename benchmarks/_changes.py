"""Changes that evaders make to a video: ffmpeg filters, and cached copies made with them."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ALIKE, ALIKE_MS = 0.99, 2000
"""Goal for copies that look the same: share found, and within how much footage (ms)."""
CHANGED, CHANGED_MS = 0.95, 3000
"""The same for copies that do not look the same."""
_HALF = "scale=iw/2:ih/2"
_WASHED = "hue=h=90,boxblur=20"
_CLIP = "movie=filename='{clip}':seek_point=60,setpts=PTS-STARTPTS"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a video."""

    filter: str
    goal: float | None = None
    """Share of trials to find; None for a change without a goal."""
    limit_ms: int = CHANGED_MS
    """Footage within which the video must be found, in milliseconds."""
    crf: int = 23
    clip: bool = False
    """Whether it needs a second clip, named ``{clip}`` in the filter."""


def _alike(name: str, crf: int = 23) -> Change:
    return Change(name, ALIKE, ALIKE_MS, crf)


def _changed(name: str) -> Change:
    return Change(name, CHANGED)


def _keystone(share: float) -> Change:
    return Change(f"perspective=x0=W*{share}:y0=0:x1=W*{1 - share}:y1=0:x2=0:y2=H:x3=W:y3=H")


def _beside(share: float) -> Change:
    """The video in a corner of another one, as a streamer's guest or a game's cut scene."""
    return Change(
        f"[0:v]split[a][b];[b]scale=trunc(iw*{share}/2)*2:trunc(ih*{share}/2)*2[fg];"
        f"{_CLIP},fps=30[clip];[clip][a]scale2ref[bg][un];[un]nullsink;"
        "[bg][fg]overlay=x=(W-w)*.9:y=(H-h)*.85:shortest=1",
        clip=True,
    )


_FILMED = (
    # A screen in a dark room, filmed from the side by an unsteady hand. The lens blurs, screen and camera
    # pixels interfere, the exposure is off, and the sensor is noisy.
    "[0:v]pad=w=iw*{pad}:h=ih*{pad}:x=(ow-iw)/2:y=(oh-ih)/2:color=0x141414,"
    "perspective=x0=W*{near}:y0=H*.02:x1=W*{far}:y1=H*{tilt}:x2=W*.02:y2=H*.97:x3=W*.98:y3=H*.95,"
    "rotate=.008*sin(t*1.7):c=0x141414,gblur=sigma={blur},format=yuv420p,split[a][b];"
    "[b]trim=end_frame=1,geq=lum='255*(1-{moire}*(1+sin(X*.9+Y*.12)*sin(Y*.75))/2)':cb=128:cr=128,"
    "loop=-1:1[m];[a][m]blend=c0_mode=multiply:c1_mode=normal:c2_mode=normal:shortest=1,"
    "eq=brightness={bright}:contrast=.85:saturation=.7,noise=alls=7:allf=t"
)

_SLANTED = (
    # A screen with its bezel before a wall, from the side and tilted. Its far side is shorter.
    "[0:v]pad=w=iw*1.03:h=ih*1.04:x=(ow-iw)/2:y=(oh-ih)/2:color=0x101010,"
    "pad=w=iw*{pad}:h=ih*{pad}:x=(ow-iw)/2:y=(oh-ih)/2:color={wall},"
    "perspective=sense=destination:x0=0:y0=0:x1=W*{far}:y1=H*{k}:x2=0:y2=H:x3=W:y3=H*(1-{k}),"
    "rotate={turn}*PI/180+.006*sin(t*1.7):c={wall},vignette=PI/6,gblur=sigma={blur},format=yuv420p,"
    "split[a][b];"
    "[b]trim=end_frame=1,geq=lum='255*(1-{moire}*(1+sin(X*.9+Y*.12)*sin(Y*.75))/2)':cb=128:cr=128,"
    "loop=-1:1[m];[a][m]blend=c0_mode=multiply:c1_mode=normal:c2_mode=normal:shortest=1,"
    "eq=brightness=.05:contrast=.85:saturation=.7,noise=alls=7:allf=t"
)

CHANGES: dict[str, Change] = {
    "untouched": _alike("null"),
    "crf35": _alike("null", crf=35),
    "640x360": _alike("scale=640:360"),
    "grey": _alike("hue=s=0"),
    "sepia": _alike("colorchannelmixer=.393:.769:.189:0:.349:.686:.168:0:.272:.534:.131"),
    "logo_small": _alike("drawbox=x=iw*.86:y=ih*.04:w=iw*.1:h=ih*.06:color=white:t=fill"),
    "mirror": _changed("hflip"),
    "letterbox": _changed("pad=iw:ceil(ih*2/3)*2:0:-1"),
    "pillarbox": _changed("pad=ceil(iw*2/3)*2:ih:-1:0"),
    "mirror_letterbox": _changed("hflip,pad=iw:ceil(ih*2/3)*2:0:-1"),
    "crop_5": _changed("crop=iw*.95:ih*.95"),
    "crop_10": _changed("crop=iw*.9:ih*.9"),
    "crop_13": _changed("crop=iw*.87:ih*.87"),
    "crop_20": _changed("crop=iw*.8:ih*.8"),
    "crop_bottom_20": _changed("crop=iw:ih*.8:0:0"),
    "logo_large": _changed("drawbox=x=iw*.78:y=ih*.03:w=iw*.19:h=ih*.19:color=white:t=fill"),
    "speed_0.8": _changed("setpts=PTS/0.8"),
    "speed_1.25": _changed("setpts=PTS/1.25"),
    "keystone_5": _keystone(0.05),
    "keystone_10": _keystone(0.1),
    "rotate_3": Change("rotate=3*PI/180"),
    "rotate_5": Change("rotate=5*PI/180"),
    "rotate_8": Change("rotate=8*PI/180"),
    "crop_40": Change("crop=iw*.6:ih*.6"),
    "crop_50": Change("crop=iw*.5:ih*.5"),
    "picture_in_plain": Change(f"{_HALF},pad=iw*2:ih*2:iw*.7:ih*.6:color=0x304050"),
    "picture_in_picture": Change(
        f"[0:v]split[a][b];[a]{_WASHED}[bg];[b]{_HALF}[fg];[bg][fg]overlay=W*.45:H*.45"
    ),
    "picture_in_video_60": _beside(0.6),
    "picture_in_video_45": _beside(0.45),
    "picture_in_video_30": _beside(0.3),
    "filmed_from_screen": Change(
        _FILMED.format(pad=1.08, near=0.03, far=0.96, tilt=0.0, blur=1.0, moire=0.15, bright=0.05)
    ),
    "filmed_badly": Change(
        _FILMED.format(pad=1.25, near=0.1, far=0.98, tilt=0.06, blur=2.0, moire=0.3, bright=0.12)
    ),
    "filmed_slanted_10": Change(
        _SLANTED.format(pad=1.3, wall="0x202020", far=0.96, k=0.05, turn=4, blur=1.0, moire=0.15)
    ),
    "filmed_slanted_20": Change(
        _SLANTED.format(pad=1.3, wall="0x202020", far=0.94, k=0.1, turn=7, blur=1.5, moire=0.2)
    ),
    "filmed_in_light_room": Change(
        _SLANTED.format(pad=1.4, wall="0x8a8478", far=0.95, k=0.08, turn=-5, blur=1.5, moire=0.2)
    ),
}


def make_copy(source: Path, name: str, cache: Path, clip: Path) -> Path:
    """Returns the changed copy of a video, made unless the cache has one of the same bytes and command.

    ``clip`` is a second video, for changes that show one beside the source. Raises CalledProcessError with
    ffmpeg's message.
    """
    change = CHANGES[name]
    filters = change.filter.replace("{clip}", str(clip)) if change.clip else change.filter
    how = [
        *("-filter_complex", f"{filters},scale=trunc(iw/2)*2:trunc(ih/2)*2"),
        *("-an", "-c:v", "libx264", "-preset", "ultrafast", "-crf", str(change.crf), "-pix_fmt", "yuv420p"),
    ]
    key = hashlib.sha256("\0".join([change.filter, clip.name, *how[2:]]).encode())
    key.update(source.read_bytes())
    target = cache / f"{source.stem}-{name}-{key.hexdigest()[:16]}.mp4"
    if not target.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        part = cache / f".{target.stem}.{os.getpid()}.mp4"
        command = ["ffmpeg", "-v", "error", "-y", "-threads", "1", "-i", str(source), *how, str(part)]
        try:
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
            part.rename(target)
        finally:
            part.unlink(missing_ok=True)
    return target
