"""Evidence: the clip of the media before a verdict, and the incident record next to it."""

from edge.evidence.clip import EvidenceClip, write_clip
from edge.evidence.durable import INCOMING, forget_unfinished, take_in
from edge.evidence.record import Sampling, incident_record, sampling_of, write_incident_record

__all__ = [
    "INCOMING",
    "EvidenceClip",
    "Sampling",
    "forget_unfinished",
    "incident_record",
    "sampling_of",
    "take_in",
    "write_clip",
    "write_incident_record",
]
