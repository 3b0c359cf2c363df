"""Watches a stream: source, ring, decoding, sampling, tiers, and the pipeline to a verdict."""

from edge.annexb import framing_of
from edge.stream.audio import StreamAudio
from edge.stream.audio_clock import AudioClock
from edge.stream.audio_frames import AudioFrames
from edge.stream.bitrate import BitrateJump
from edge.stream.codecs import AnyCodec, FileCodec
from edge.stream.decode import Decoder
from edge.stream.draws import Draws, new_seed
from edge.stream.frame_roles import FrameRoles, Schedule
from edge.stream.frame_size_limit import FILE_FRAMES, FrameSizeLimit
from edge.stream.known_audio import KnownAudio
from edge.stream.look_budget import Risk, RiskFactors
from edge.stream.look_model import Explained, explain_looks
from edge.stream.media_file import MediaFile, open_media_file
from edge.stream.mono_audio import MonoAudio, resampler
from edge.stream.pipeline import (
    JUMP_HOLD_MS,
    JUMP_WISH_MS,
    Judgement,
    PipelineCounters,
    StageTimes,
    StreamPipeline,
)
from edge.stream.ports import DetectorPort, DetectWindowPort
from edge.stream.ring import Ring
from edge.stream.sampling import Disposition, Sampler, UnitPlan
from edge.stream.tiers import TierState
from edge.stream.wanted_audio import wanted_audio

__all__ = [
    "FILE_FRAMES",
    "JUMP_HOLD_MS",
    "JUMP_WISH_MS",
    "AnyCodec",
    "AudioClock",
    "AudioFrames",
    "BitrateJump",
    "Decoder",
    "DetectWindowPort",
    "DetectorPort",
    "Disposition",
    "Draws",
    "Explained",
    "FileCodec",
    "FrameRoles",
    "FrameSizeLimit",
    "Judgement",
    "KnownAudio",
    "MediaFile",
    "MonoAudio",
    "PipelineCounters",
    "Ring",
    "Risk",
    "RiskFactors",
    "Sampler",
    "Schedule",
    "StageTimes",
    "StreamAudio",
    "StreamPipeline",
    "TierState",
    "UnitPlan",
    "explain_looks",
    "framing_of",
    "new_seed",
    "open_media_file",
    "resampler",
    "wanted_audio",
]
