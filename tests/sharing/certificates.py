"""Certificates of companies that share banks, made by one authority."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import trustme

from edge.sharing.peer_client import OwnCertificate


class Authority:
    """Issues certificates into a folder."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self._folder = folder
        self.ca = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(self.ca)

    def issue(self, *names: str, expired: bool = False) -> OwnCertificate:
        """A certificate with these names, and the files that show it."""
        day = datetime(2020, 1, 1, tzinfo=UTC) if expired else None
        made = self._authority.issue_cert(*names, not_after=day)
        folder = self._folder / f"{names[0]}{'-expired' if expired else ''}"
        folder.mkdir(exist_ok=True)
        cert, key = folder / "cert.pem", folder / "key.pem"
        made.private_key_pem.write_to_path(key)
        cert.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        return OwnCertificate(cert, key, self.ca)
