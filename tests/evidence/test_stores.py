"""Every store of evidence keeps the same promises: a folder, a bucket on a real S3 server, and the double."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from edge.errors import ConfigError, EvidenceStoreFailed, InvalidInput, NotFound
from edge.evidence import EvidenceFileKind, EvidenceStore, FolderStore, file_name
from edge.evidence.bucket_store import BucketStore
from edge.evidence.double import BucketDouble
from edge.evidence.settings import EvidenceSection
from tests.conftest import require

LARGE = 6 * 2**20
"""Larger than a part of a multipart upload."""


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A real S3 server with the bucket `evidence`."""
    require(all(map(importlib.util.find_spec, ("obstore", "moto"))), "obstore or moto")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://127.0.0.1:{1}".format(*server.get_host_and_port())
    assert httpx.put(f"{url}/evidence").status_code == 200
    yield url
    server.stop()


def bucket(s3: str, folder: Path, url: str = "s3://evidence/fleet/a", **fields: object) -> BucketStore:
    keys = folder / "keys"
    keys.write_text("AKIAEXAMPLE secret/of+the+bucket\n")
    keys.chmod(0o600)
    section = {"url": url, "endpoint": s3, "credentials": keys, "timeout_ms": 2_000} | fields
    return BucketStore(EvidenceSection.model_validate(section))


@pytest.fixture(params=["folder", "bucket", "double"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> EvidenceStore:
    if request.param == "folder":
        (tmp_path / "evidence").mkdir()
        return FolderStore(tmp_path / "evidence")
    if request.param == "double":
        return BucketDouble()
    return bucket(request.getfixturevalue("s3"), tmp_path)


async def test_what_is_saved_is_read_by_ranges_and_removed(store: EvidenceStore, tmp_path: Path) -> None:
    source, content = tmp_path / "source", os.urandom(LARGE)
    source.write_bytes(content)
    assert await store.size("in_1.mp4") is None
    assert not await store.remove("in_1.mp4")
    await store.save("in_1.mp4", source)
    assert await store.size("in_1.mp4") == LARGE
    assert await store.read("in_1.mp4", 0, 10) == content[:10]
    assert await store.read("in_1.mp4", 5 * 2**20, 2**20) == content[5 * 2**20 :]
    assert await store.read("in_1.mp4", LARGE - 3, 100) == content[-3:]
    assert await store.read("in_1.mp4", 10, 0) == b""
    source.write_bytes(b"the longer clip")
    await store.save("in_1.mp4", source)
    assert await store.size("in_1.mp4") == 15
    assert await store.remove("in_1.mp4")
    assert await store.size("in_1.mp4") is None
    with pytest.raises(NotFound, match=r"in_1\.mp4"):
        await store.read("in_1.mp4", 0, 10)


async def test_a_bucket_is_shared_and_a_folder_is_not(store: EvidenceStore, tmp_path: Path) -> None:
    assert store.shared is not isinstance(store, FolderStore)


async def test_gates_under_other_prefixes_do_not_see_each_other(s3: str, tmp_path: Path) -> None:
    (tmp_path / "clip").write_bytes(b"clip")
    await bucket(s3, tmp_path, "s3://evidence/one").save("in_1.mp4", tmp_path / "clip")
    assert await bucket(s3, tmp_path, "s3://evidence/one/").size("in_1.mp4") == 4
    assert await bucket(s3, tmp_path, "s3://evidence/other").size("in_1.mp4") is None


async def test_errors_name_the_setting_and_no_secret(s3: str, tmp_path: Path) -> None:
    (tmp_path / "clip").write_bytes(b"clip")
    with pytest.raises(EvidenceStoreFailed, match=r"^evidence\.url: s3://none: there is no bucket"):
        await bucket(s3, tmp_path, "s3://none").save("in_1.mp4", tmp_path / "clip")
    away = bucket("http://127.0.0.1:9", tmp_path)
    for asked in (away.save("x", tmp_path / "clip"), away.size("x"), away.read("x", 0, 1), away.remove("x")):
        with pytest.raises(EvidenceStoreFailed, match=r"^evidence\.url: s3://evidence/fleet/a: ") as caught:
            await asked
        assert "\n" not in str(caught.value)
        assert "secret/of" not in str(caught.value)


def test_a_folder_names_itself_in_errors(tmp_path: Path) -> None:
    assert file_name("in_1", EvidenceFileKind.CLIP) == "in_1.mp4"
    for wrong in ("../in_1", "", ".hidden", "a/b", "x" * 200):
        with pytest.raises(InvalidInput, match="incident_id"):
            file_name(wrong, EvidenceFileKind.CLIP)


async def test_a_link_in_the_folder_is_not_followed_to_a_device(tmp_path: Path) -> None:
    (tmp_path / "in_1.mp4").symlink_to("/dev/zero")
    with pytest.raises(EvidenceStoreFailed, match="evidence folder"):
        await FolderStore(tmp_path).read("in_1.mp4", 0, 10)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"url": "https://bucket"}, "is not s3://BUCKET"),
        ({"url": "s3://"}, "is not s3://BUCKET"),
        ({"url": "s3://key:secret@bucket"}, "is not s3://BUCKET"),
        ({"url": "s3://b?versioned"}, "is not s3://BUCKET"),
        ({"endpoint": "https://s3.example.org"}, "endpoint and credentials want a url"),
        ({"url": "s3://b", "endpoint": "http://s3.example.org"}, "set insecure = true"),
        ({"url": "s3://b", "endpoint": "https://k:s@s3.example.org"}, "credentials names a file"),
        ({"url": "s3://b", "endpoint": "s3.example.org"}, "endpoint must be an http"),
    ],
)
def test_settings_that_cannot_work_say_why(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        EvidenceSection.model_validate(fields)
    EvidenceSection(url="s3://b/p", endpoint="http://s3.example.org", insecure=True)


def test_credentials_come_from_a_private_file(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    section = EvidenceSection(url="s3://b", credentials=keys)
    with pytest.raises(ConfigError, match="keys"):
        section.keys()
    keys.write_text("AKIAEXAMPLE")
    with pytest.raises(ConfigError, match="chmod 600"):
        section.keys()
    keys.chmod(0o600)
    with pytest.raises(ConfigError, match=r"evidence\.credentials: .*expected ACCESS_KEY_ID"):
        section.keys()
