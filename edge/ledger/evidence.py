"""Evidence on record: who has looked at it."""

from __future__ import annotations

from edge.ledger.base import LedgerBase

EVIDENCE_READ = "evidence_read"


class EvidenceRecords(LedgerBase):
    def note_evidence_read(self, incident_id: str, part: str, by: str, wall_ms: int) -> None:
        """Records that a person looks at a part of an incident's evidence."""
        with self._database.write_transaction("note a reading of evidence") as connection:
            self._audit(connection, wall_ms, by, EVIDENCE_READ, incident_id, {"part": part}, {})
