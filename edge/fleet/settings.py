"""The settings of a gate among others."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from edge.section import Section

MIN_SECRET_CHARACTERS = 32


class FleetSection(Section):
    """How the gates that share a ledger show each other's evidence. Calls between them are signed."""

    address: str | None = Field(
        None,
        max_length=256,
        pattern=r"^[^\s/?#@]+:[0-9]{1,5}$",
        description="`HOST:PORT` under which other gates reach `grpc.listen` of this one; port 0: the one "
        "that it listens on. Then they show the evidence in this gate's folder. Needs `secret`.",
    )
    secret: SecretStr | None = Field(
        None,
        description="Signs the calls between gates: the same on every gate, at least 32 characters, such as "
        "`openssl rand -hex 32` makes. It is never sent.",
    )
    ca: Path | None = Field(
        None,
        description="Certificate authority of the gates, PEM. Default: those of the system. A gate shows "
        "`grpc.tls_cert` to gates that ask for a certificate.",
    )

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.secret is not None and len(self.secret.get_secret_value()) < MIN_SECRET_CHARACTERS:
            raise ValueError(f"secret has fewer than {MIN_SECRET_CHARACTERS} characters")
        if self.address is not None and self.secret is None:
            raise ValueError("address needs secret, the same on every gate of the fleet")
        return self

    def url(self, listening: str, *, tls: bool) -> str:
        """Returns what this gate announces: ``grpc://HOST:PORT``, or ``grpcs://`` with TLS. Empty: nothing.

        ``listening`` is the address that it actually listens on.
        """
        if self.address is None:
            return ""
        host, _, port = self.address.rpartition(":")
        if int(port) == 0:
            port = listening.rpartition(":")[2]
        return f"{'grpcs' if tls else 'grpc'}://{host}:{port}"
