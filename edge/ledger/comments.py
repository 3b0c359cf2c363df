"""What people say of an incident, for those who review it."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from edge.domain import Comment, new_id
from edge.errors import LimitExceeded
from edge.ledger import records
from edge.ledger.base import LedgerBase
from edge.ledger.incidents import read_incident
from edge.ledger.tables import comments
from edge.ledger.unknown_rows import readable

MAX_COMMENT_BYTES: Final = 2_000
MAX_COMMENTS: Final = 200
"""Most comments on one incident."""


class Comments(LedgerBase):
    def add_comment(self, incident_id: str, text: str, by: str, wall_ms: int) -> Comment:
        """Adds a comment. Raises NotFound, and LimitExceeded for a text that is too long or one comment too
        many."""
        size = len(text.encode())
        if size > MAX_COMMENT_BYTES:
            raise LimitExceeded("text", MAX_COMMENT_BYTES, size, "bytes")
        comment = Comment(new_id("cm"), incident_id, wall_ms, by, text)
        with self._database.write_transaction("comment on an incident") as connection:
            read_incident(connection, incident_id)
            about = sa.select(sa.func.count()).where(comments.c.incident_id == incident_id)
            count = connection.execute(about).scalar_one()
            if count >= MAX_COMMENTS:
                raise LimitExceeded("comments", MAX_COMMENTS, count + 1, "comments on one incident")
            connection.execute(comments.insert().values(**records.comment_to_row(comment)))
            self._audit(
                connection,
                wall_ms,
                by,
                "comment",
                incident_id,
                {"comment": comment.id},
                {comments: [comment.id]},
            )
        return comment


def comments_on(connection: sa.Connection, incident_id: str) -> tuple[Comment, ...]:
    """The comments on an incident, oldest first."""
    query = sa.select(comments).where(comments.c.incident_id == incident_id)
    rows = connection.execute(query.order_by(comments.c.id).limit(MAX_COMMENTS))
    return tuple(readable(connection, rows, records.comment_from_row))
