"""Evidence: the clip of the media around a verdict, posters of it, the incident record, and their store."""

from edge.evidence.clip import EvidenceClip, write_clip
from edge.evidence.contained_posters import posters_contained
from edge.evidence.durable import INCOMING, forget_unfinished, take_in
from edge.evidence.folder_store import FolderStore
from edge.evidence.posters import Poster, poster_moments, posters_of_bytes
from edge.evidence.record import (
    Sampling,
    incident_record,
    sampling_of,
    scores_of_record,
    write_incident_record,
)
from edge.evidence.store import MAX_FILE_BYTES, EvidenceFileKind, EvidenceStore, file_name, incident_of

__all__ = [
    "INCOMING",
    "MAX_FILE_BYTES",
    "EvidenceClip",
    "EvidenceFileKind",
    "EvidenceStore",
    "FolderStore",
    "Poster",
    "Sampling",
    "file_name",
    "forget_unfinished",
    "incident_of",
    "incident_record",
    "poster_moments",
    "posters_contained",
    "posters_of_bytes",
    "sampling_of",
    "scores_of_record",
    "take_in",
    "write_clip",
    "write_incident_record",
]
