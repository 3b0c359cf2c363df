"""What a bank stores of a file: every frame, and the changed frames that show footage."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from edge.errors import BrokenMedia
from edge.match import VariantSet, fingerprint, frames_of
from edge.match.entry import Variant
from edge.match.pdq.hasher import distance
from tests.conftest import require
from tests.heic import write_tiles

U8 = npt.NDArray[np.uint8]


def picture() -> U8:
    """Clouds of several sizes, uint8 ``(360, 640)``."""
    rng = np.random.default_rng(3)
    luma = np.zeros((360, 640))
    for side in (90, 45, 20):
        cells = rng.uniform(-1, 1, (360 // side + 1, 640 // side + 1))
        luma += np.kron(cells, np.ones((side, side)))[:360, :640] * side
    return np.asarray(128 + luma * 110 / abs(luma).max(), np.uint8)


def written(path: Path, luma: U8) -> Path:
    jpeg = path.suffix == ".jpg"
    with av.open(str(path), "w") as image:
        stream = image.add_stream("mjpeg" if jpeg else "png", rate=1, options={"qscale": "1"})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = luma.shape
        stream.pix_fmt = "yuvj420p" if jpeg else "gray"
        image.mux(stream.encode(av.VideoFrame.from_ndarray(luma, format="gray")))
        image.mux(stream.encode())
    return path


def variants_kept(path: Path) -> set[Variant]:
    footage = fingerprint(path, variants=VariantSet.WIDE, audio=False)
    return {run.variant for run in footage.hashes}


def test_of_footage_all_variants_are_kept(tmp_path: Path) -> None:
    kept = variants_kept(written(tmp_path / "clouds.png", picture()))
    assert {Variant.ORIGINAL, Variant.CROP_50, Variant.KEYSTONE_LEFT_10, Variant.LEFT_20} <= kept


def test_of_a_symmetrical_shape_only_what_is_itself_and_what_is_not_symmetrical_any_more(
    tmp_path: Path,
) -> None:
    half = picture()[:, :320]
    kept = variants_kept(written(tmp_path / "shape.png", np.hstack((half, half[:, ::-1]))))
    assert Variant.ORIGINAL in kept
    assert Variant.LEFT_20 in kept
    assert kept.isdisjoint({Variant.CROP_20, Variant.CROP_40, Variant.CROP_50})


def phone_clip(path: Path, shown: U8, degrees: int, *, hflip: bool = False) -> Path:
    """Two frames encoded so that the file's rotation makes a player display ``shown``."""
    coded = np.rot90(shown[:, ::-1] if hflip else shown, -degrees // 90)
    with av.open(str(path), "w") as media:
        stream = media.add_stream("libx264", rate=10, options={"preset": "ultrafast", "crf": "1"})
        stream.height, stream.width = coded.shape
        stream.pix_fmt = "yuvj420p"
        stream.set_display_rotation(degrees, hflip=hflip)
        for _ in range(2):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(coded), format="gray")
            media.mux(stream.encode(frame))
        media.mux(stream.encode())
    return path


@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, -90, 180])
def test_footage_is_hashed_as_a_player_shows_it(degrees: int, hflip: bool, tmp_path: Path) -> None:
    shown = picture()
    turned = phone_clip(tmp_path / "turned.mp4", shown, degrees, hflip=hflip)
    _, _, luma = next(iter(frames_of(turned)))
    assert luma.shape == shown.shape
    assert np.abs(luma.astype(int) - shown).max() < 24
    upright = fingerprint(written(tmp_path / "upright.png", shown), variants=VariantSet.NONE, audio=False)
    known = fingerprint(turned, variants=VariantSet.NONE, audio=False)
    assert distance(known.hashes[0].bits, upright.hashes[0].bits) <= 6


def photo(path: Path, shown: U8, orientation: int) -> Path:
    """A photo whose EXIF orientation turns and mirrors it to ``shown`` (TIFF 6.0, tag 274)."""
    coded = {
        1: shown,
        2: shown[:, ::-1],
        3: shown[::-1, ::-1],
        4: shown[::-1],
        5: shown.T,
        6: np.rot90(shown, 1),
        7: shown[::-1, ::-1].T,
        8: np.rot90(shown, -1),
    }[orientation]
    written(path, np.ascontiguousarray(coded))
    ifd = struct.pack("<HHHIHHI", 1, 274, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0II" + struct.pack("<HI", 42, 8) + ifd
    body = path.read_bytes()
    path.write_bytes(body[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + body[2:])
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_with_exif_is_hashed_upright(orientation: int, tmp_path: Path) -> None:
    """A mirrored one was left mirrored, and its hash was not the one that others know."""
    shown = picture()
    _, _, luma = next(iter(frames_of(photo(tmp_path / "photo.jpg", shown, orientation))))
    assert luma.shape == shown.shape
    assert np.abs(luma.astype(int) - shown).max() < 40


def test_a_photo_of_tiles_is_known_by_its_small_copy(tmp_path: Path) -> None:
    """FFmpeg gives each tile as a stream of its own. The first one was banked as if it were the photo."""
    shown = picture()
    small = np.ascontiguousarray(shown[::2, ::2])
    tiled = write_tiles(tmp_path / "photo.heic", shown, 2, 2, thumbnail=small)
    upright = fingerprint(written(tmp_path / "upright.png", shown), variants=VariantSet.NONE, audio=False)
    known = fingerprint(tiled, variants=VariantSet.NONE, audio=False)
    assert len(known.hashes) == 1
    assert distance(known.hashes[0].bits, upright.hashes[0].bits) <= 16
    with pytest.raises(BrokenMedia, match=r"photo of tiles.*convert it to JPEG"):
        fingerprint(write_tiles(tmp_path / "tiles.heic", shown, 2, 2), audio=False)


def test_of_an_icon_the_largest_frame_is_known(tmp_path: Path) -> None:
    sizes = (16, 256, 48)
    at, table, pictures = 6 + 16 * len(sizes), b"", b""
    for side in sizes:
        luma = (
            np.full((side, side), 90, np.uint8) if side < 256 else np.ascontiguousarray(picture()[:256, :256])
        )
        png = written(tmp_path / f"{side}.png", luma).read_bytes()
        table += struct.pack("<BBBBHHII", side % 256, side % 256, 0, 0, 1, 32, len(png), at + len(pictures))
        pictures += png
    icon = tmp_path / "icon.ico"
    icon.write_bytes(struct.pack("<HHH", 0, 1, len(sizes)) + table + pictures)
    [[_, _, shown]] = frames_of(icon)
    assert shown.shape == (256, 256)
    plain = fingerprint(tmp_path / "256.png", variants=VariantSet.NONE, audio=False)
    assert fingerprint(icon, variants=VariantSet.NONE, audio=False).hashes == plain.hashes


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_ffmpeg_shows_the_same(degrees: int, tmp_path: Path) -> None:
    require(shutil.which("ffmpeg") is not None, "ffmpeg")
    turned = phone_clip(tmp_path / "turned.mp4", picture(), degrees)
    command = ["ffmpeg", "-v", "error", "-i", str(turned), "-frames:v", "1", "-pix_fmt", "gray"]
    shown = subprocess.run([*command, "-f", "rawvideo", "-"], capture_output=True, check=True).stdout
    _, _, luma = next(iter(frames_of(turned)))
    assert np.abs(np.frombuffer(shown, np.uint8).reshape(luma.shape).astype(int) - luma).max() <= 16
    as_coded = next(luma.shape for _, _, luma in frames_of(turned, as_coded=True))
    assert as_coded == ((360, 640) if degrees == 180 else (640, 360))


def test_a_file_that_is_turned_by_a_little_is_left_as_it_is(tmp_path: Path) -> None:
    shown = picture()
    path = tmp_path / "askew.mp4"
    with av.open(str(path), "w") as media:
        stream = media.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.set_display_rotation(5)
        media.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="gray")))
        media.mux(stream.encode())
    assert [luma.shape for _, _, luma in frames_of(path)] == [(360, 640)]
