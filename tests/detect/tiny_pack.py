"""A pack for tests: the shipped motion model beside the tiny models of audio and single frames."""

from __future__ import annotations

from pathlib import Path

from edge.detect import default_model_directory, read_pack
from edge.detect.manifest import ModelFile
from edge.detect.pack_files import MANIFEST_NAME, PackManifest
from tests.detect.audio.tiny_audio_model import tiny_audio_onnx, tiny_spec
from tests.detect.sight.tiny_frame_model import tiny_frame_onnx, tiny_frame_spec


def tiny_pack(folder: Path, *, sight: bool = False) -> Path:
    """Writes the pack to a new folder. With ``sight`` it has a frame model, too."""
    shipped = read_pack(default_model_directory())
    motion, sound, picture = shipped.motion, tiny_audio_onnx(), tiny_frame_onnx()
    seen = tiny_frame_spec(content=picture)
    seen = seen.model_copy(
        update={
            "name": "tiny-sight",
            "model": ModelFile(file="sight.onnx", sha256=seen.model.sha256, bytes=seen.model.bytes),
        }
    )
    models = (motion, tiny_spec(content=sound), *((seen,) if sight else ()))
    folder.mkdir(parents=True)
    (folder / motion.model.file).write_bytes(shipped.models[motion.model.file])
    (folder / "tiny.onnx").write_bytes(sound)
    if sight:
        (folder / "sight.onnx").write_bytes(picture)
    manifest = PackManifest(schema_version=2, name="tiny", version="1", models=models)
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json())
    return folder
