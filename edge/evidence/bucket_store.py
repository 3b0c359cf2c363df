"""Evidence in a bucket of an S3-compatible server, which all gates of a fleet share."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from edge.errors import ConfigError, EvidenceStoreFailed, NotFound
from edge.evidence.settings import EvidenceSection

_Value = TypeVar("_Value")

_RETRIES: Final = 2
_MESSAGE_CHARACTERS: Final = 300


class BucketStore:
    """A bucket, or the objects of it under a prefix."""

    def __init__(self, section: EvidenceSection) -> None:
        """Connects to nothing yet. Raises ConfigError without the package, or for the file of credentials."""
        try:
            import obstore
            from obstore.store import S3Store
        except ImportError:
            raise ConfigError(
                "evidence.url: a bucket needs the package obstore: pip install 'edge-gate[s3]'"
            ) from None
        self._obstore: Any = obstore
        self._url = section.url
        options: dict[str, Any] = {"region": section.region}
        if section.endpoint:
            options |= {"endpoint": section.endpoint, "virtual_hosted_style_request": False}
        if (keys := section.keys()) is not None:
            options |= {"access_key_id": keys[0], "secret_access_key": keys[1].get_secret_value()}
        timeout = timedelta(milliseconds=section.timeout_ms)
        try:
            self._store: Any = S3Store(
                section.bucket,
                prefix=section.prefix or None,
                client_options={
                    "allow_http": section.endpoint.startswith("http://"),
                    "timeout": timeout,
                    "connect_timeout": timeout,
                },
                retry_config={"max_retries": _RETRIES, "retry_timeout": timeout},
                **options,
            )
        except Exception as error:  # whatever the package does not take
            raise ConfigError(f"evidence.url: {self._url}: {_said(error)}") from None

    @property
    def shared(self) -> bool:
        return True

    async def save(self, name: str, source: Path) -> None:
        await self._asked(self._obstore.put_async(self._store, name, source))

    async def size(self, name: str) -> int | None:
        try:
            return int((await self._asked(self._obstore.head_async(self._store, name)))["size"])
        except NotFound:
            return None

    async def read(self, name: str, begin: int, length: int) -> bytes:
        if length <= 0:
            return b""
        return bytes(
            await self._asked(
                self._obstore.get_range_async(self._store, name, start=begin, length=length), name
            )
        )

    async def remove(self, name: str) -> bool:
        if await self.size(name) is None:
            return False
        await self._asked(self._obstore.delete_async(self._store, name))
        return True

    async def _asked(self, request: Awaitable[_Value], name: str = "") -> _Value:
        """Raises EvidenceStoreFailed that names the setting; NotFound where the server has no such object."""
        try:
            return await request
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                problem = f"there is no bucket {self._store.config.get('bucket', '')!r}"
                raise EvidenceStoreFailed(f"evidence.url: {self._url}: {problem}") from None
            raise NotFound("file of evidence", name) from None
        except Exception as error:  # of the network, of the server, of the package
            raise EvidenceStoreFailed(f"evidence.url: {self._url}: {_said(error)}") from None


def _said(error: Exception) -> str:
    """The first line of an error: the rest shows how the package is built."""
    return str(error).split("\n", 1)[0][:_MESSAGE_CHARACTERS]
