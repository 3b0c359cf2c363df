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

_MOVING = (
    # Stickers that cross the picture, each on a way of its own.
    "color=0xffd040:s=200x150:r=30[a];color=0x30c0ff:s=140x140:r=30[b];color=0xff4080:s=260x70:r=30[c];"
    "[0:v][a]overlay=x='abs(mod(t*310,2*(W-w))-(W-w))':y='abs(mod(t*170,2*(H-h))-(H-h))':shortest=1[d];"
    "[d][b]overlay=x='abs(mod(t*230+400,2*(W-w))-(W-w))':y='abs(mod(t*290+90,2*(H-h))-(H-h))':shortest=1[e];"
    "[e][c]overlay=x='abs(mod(t*410+200,2*(W-w))-(W-w))':y='(H-h)*(.5+.45*sin(t*3))':shortest=1"
)

_UPRIGHT = (
    # A wide screen in a dark room, filmed by a phone that is held upright by an unsteady hand.
    "[0:v]scale=720:-2,pad=w=iw*1.04:h=iw*16/9:x=(ow-iw)/2:y=(oh-ih)*.45:color=0x181818,"
    "perspective=x0=W*.01:y0=0:x1=W*.98:y1=H*.01:x2=0:y2=H:x3=W:y3=H*.99,"
    "rotate=.03+.008*sin(t*1.7):c=0x181818,gblur=sigma=1,"
    "eq=brightness=.05:contrast=.85:saturation=.7,noise=alls=7:allf=t"
)


def _framed(around: str) -> Change:
    """The video in the middle of a picture that moves, at 80 % of its size."""
    return Change(
        f"[0:v]split[a][b];[b]scale=trunc(iw*.4)*2:trunc(ih*.4)*2[fg];{around},fps=30[clip];"
        "[clip][a]scale2ref[bg][un];[un]nullsink;[bg][fg]overlay=x=(W-w)/2:y=(H-h)/2:shortest=1",
        clip=True,
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
    "filmed_upright": Change(_UPRIGHT),
    "subtitles": Change(
        "drawtext=text='every word of it is true, watch until the end':fontsize=h/14:fontcolor=white:"
        "borderw=3:x=(w-tw)/2:y=h*.86"
    ),
    "moving_stickers": Change(_MOVING),
    "moving_border": _framed("gradients=s=640x360:speed=.08:duration=600"),
    "game_around": _framed(
        f"{_CLIP},drawbox=x=0:y=0:w=iw:h=ih*.06:color=black:t=fill,"
        "drawbox=x=iw*.02:y=ih*.92:w=iw*.3:h=ih*.05:color=red:t=fill,"
        "drawbox=x=iw*.85:y=ih*.75:w=iw*.13:h=ih*.22:color=0x205020:t=fill"
    ),
    "beside_a_reaction": Change(
        f"[0:v]split[a][b];{_CLIP},fps=30[clip];[clip][a]scale2ref[r][un];[un]nullsink;"
        "[b][r]hstack=shortest=1",
        clip=True,
    ),
    "above_a_reaction": Change(
        f"[0:v]split[a][b];{_CLIP},fps=30[clip];[clip][a]scale2ref[r][un];[un]nullsink;"
        "[b][r]vstack=shortest=1",
        clip=True,
    ),
    "collage": Change(
        f"[0:v]split[a][b];{_CLIP},fps=30[clip];[clip][a]scale2ref[r][un];[un]nullsink;"
        "[r]split=3[r1][r2][r3];[r2]hflip[m2];[r3]hue=h=120[m3];[r1][m2]hstack[top];"
        "[b][m3]hstack[low];[top][low]vstack=shortest=1,scale=iw/2:ih/2",
        clip=True,
    ),
    "crop_vertical": Change("crop=ih*9/16:ih"),
    "heavy_filter": Change("curves=preset=vintage,eq=contrast=1.6:saturation=2.2,hue=h=50,vignette=PI/4"),
    "negative": Change("negate"),
    "grey_with_grain": Change("hue=s=0,eq=contrast=1.4,noise=alls=40:allf=t+u"),
    "stills_zoomed": Change(
        "fps=1/5,zoompan=z='1+.0015*on':d=150:fps=30:x='iw/2-iw/zoom/2':y='ih/2-ih/zoom/2':s=1280x720"
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
