"""The TLS certificates of the gRPC server. They can be replaced while it serves."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from edge.config import GrpcSection
from edge.errors import ConfigError
from edge.settings_file import MAX_KEY_BYTES, read_settings_file
from edge.sharing.settings import ShareSection


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where chain, key and the authority of the clients are."""

    cert: Path
    key: Path
    client_ca: Path | None
    named: str
    """What the settings call them, for errors."""

    @classmethod
    def of_grpc(cls, section: GrpcSection) -> TlsFiles | None:
        """None without TLS."""
        if section.tls_cert is None or section.tls_key is None:
            return None
        return cls(section.tls_cert, section.tls_key, section.tls_client_ca, "grpc.tls")

    @classmethod
    def of_share(cls, section: ShareSection) -> TlsFiles | None:
        """None where nothing is shared."""
        if section.listen is None or section.cert is None or section.key is None:
            return None
        return cls(section.cert, section.key, section.ca, "share")


@dataclass(frozen=True, slots=True)
class _Pem:
    chain: bytes
    key: bytes
    client_ca: bytes | None


class Certificates:
    """What is in the files. Whoever connects gets what was read last; connections that
    are open keep theirs."""

    def __init__(self, files: TlsFiles) -> None:
        """Reads the files. Raises ConfigError that names the file, also for a key of another certificate."""
        self._files = files
        self._pem = _read(files)
        self._given = self._pem

    def credentials(self) -> grpc.ServerCredentials:
        """What the server listens with."""
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._pem),
            self._newer,  # type: ignore[arg-type]  # None says that nothing has changed
            self._pem.client_ca is not None,
        )

    def reload(self) -> bool:
        """Reads the files again. Returns whether they have changed. Raises ConfigError, and changes nothing
        then."""
        pem = _read(self._files)
        changed = pem != self._pem
        self._pem = pem
        return changed

    def _newer(self) -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC, in a thread of its own, for each new connection."""
        pem = self._pem
        if pem is self._given:
            return None
        self._given = pem
        return _configuration(pem)


def _configuration(pem: _Pem) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.chain)], pem.client_ca)


def _read(files: TlsFiles) -> _Pem:
    try:
        chain, key = (read_settings_file(path, MAX_KEY_BYTES) for path in (files.cert, files.key))
        ca = read_settings_file(files.client_ca, MAX_KEY_BYTES) if files.client_ca else None
    except ConfigError as error:
        raise ConfigError(f"{files.named}: {error}") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(files.cert, files.key, password="")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{files.named}: {files.cert} and {files.key}: {_said(error)}") from None
    if ca is not None:
        try:
            context.load_verify_locations(cadata=ca.decode("ascii", "ignore"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{files.named}: {files.client_ca}: {_said(error)}") from None
    return _Pem(chain, key, ca)


def _said(error: Exception) -> str:
    """The reason of OpenSSL without its numbers, such as ``key values mismatch``."""
    reason = getattr(error, "reason", None) or str(error)
    return str(reason).replace("_", " ").lower()
