"""Where the gate listens, and unsafe addresses that it refuses by default."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import httpx
import pytest
import trustme
from typer.testing import CliRunner

from edge.api.auth import Role
from edge.cli.app import app
from edge.cli.operator_client import GateConnection
from edge.contract.gen import gate_pb2, gate_pb2_grpc, operator_pb2, operator_pb2_grpc
from edge.errors import CallFailed, ConfigError, GateUnavailable
from edge.gate_process import GateProcess
from edge.ingest.gate_client import AdmittedStream, GateClient
from edge.ingest.rtmp import PublishRequest
from edge.ingest.settings import ingest_settings
from tests.integration.calls import TIMEOUT_S, admit
from tests.running_gate import block

ONE_WORKER = "[workers]\ncount = 1\n"
INGEST, VIEWER, REVIEWER, ADMIN = (
    f"a-token-of-{role}-1" for role in ("ingest", "viewer", "reviewer", "admin")
)
Metadata = tuple[tuple[str, str], ...]


def test_unix_socket_in_a_folder_of_any_name(tmp_path: Path) -> None:
    """gRPC decodes ``%20`` in the path of a socket, and ends it at ``#`` or ``?``, as SQLite in a URI."""
    folder = tmp_path / "a%20b#c?d %03d"
    folder.mkdir()
    address = f"unix:{folder}/gate.sock"
    with GateProcess(folder / "data", config=ONE_WORKER, listen=address) as gate:
        assert gate.grpc == address
        assert (folder / "gate.sock").is_socket()
        with grpc.insecure_channel(f"unix:{quote(str(folder))}/gate.sock") as channel:
            assert admit(gate_pb2_grpc.GateStub(channel)).allowed
        block(gate, "anna")

        async def admit_as_the_ingest() -> bool:
            client = GateClient(ingest_settings(gate=address))
            try:
                publish = PublishRequest("live", "cam", "anna", "203.0.113.7")
                return (await client.admit(publish, "c")).allowed
            finally:
                await client.close()

        assert not asyncio.run(admit_as_the_ingest())
        command = ["audit", "verify", "--data-dir", str(folder / "data"), "--json"]
        assert CliRunner().invoke(app, command).exit_code == 0


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


@pytest.fixture(scope="module")
def beyond(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    """A gate that other machines can reach, without TLS."""
    folder = tmp_path_factory.mktemp("beyond")
    tokens = folder / "tokens"
    tokens.write_text(
        f"ingest edge-1 {INGEST}\nviewer vera {VIEWER}\nreviewer rosa {REVIEWER}\nadmin anna {ADMIN}\n"
    )
    tokens.chmod(0o600)
    config = ONE_WORKER + f'[grpc]\ninsecure = true\noperator_tokens = "{tokens}"\n[http]\ninsecure = true\n'
    with GateProcess(folder / "data", config=config, listen="0.0.0.0:0", http="0.0.0.0:0") as gate:
        yield gate


def calls_of(channel: grpc.Channel) -> dict[str, Callable[[Metadata], object]]:
    """Every call of the Gate service."""
    stub: Any = gate_pb2_grpc.GateStub(channel)
    requests: dict[str, Any] = {
        "Admit": gate_pb2.AdmitRequest(server="own", connection="c", app="live", name="x"),
        "Watch": iter([gate_pb2.WatchRequest(open=gate_pb2.WatchOpen(stream_id="st_none"))]),
        "Attach": gate_pb2.AttachRequest(stream_id="st_none", url="rtmp://127.0.0.1/live/x"),
        "Detach": gate_pb2.DetachRequest(stream_id="st_none"),
        "ReleaseStream": gate_pb2.ReleaseStreamRequest(stream_id="st_none"),
        "ConfirmCut": gate_pb2.ConfirmCutRequest(stream_id="st_none"),
    }
    service = gate_pb2.DESCRIPTOR.services_by_name["Gate"]
    assert set(requests) == {method.name for method in service.methods}

    def call(name: str) -> Callable[[Metadata], object]:
        def made(metadata: Metadata) -> object:
            answer = getattr(stub, name)(requests[name], metadata=metadata, timeout=TIMEOUT_S)
            return list(answer) if name in ("Watch", "Attach") else answer

        return made

    return {name: call(name) for name in requests}


@pytest.mark.parametrize(
    "name", [method.name for method in gate_pb2.DESCRIPTOR.services_by_name["Gate"].methods]
)
def test_beyond_this_machine_each_call_needs_a_token(beyond: GateProcess, name: str) -> None:
    port = beyond.grpc.rpartition(":")[2]

    def code(metadata: Metadata) -> grpc.StatusCode:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            try:
                calls_of(channel)[name](metadata)
            except grpc.RpcError as error:
                answered: grpc.StatusCode = error.code()
                return answered
        return grpc.StatusCode.OK

    for metadata in ((), bearer("nobody-has-this-token"), (("authorization", INGEST),)):
        assert code(metadata) is grpc.StatusCode.UNAUTHENTICATED
    assert code(bearer(VIEWER)) is grpc.StatusCode.PERMISSION_DENIED
    for token in (INGEST, REVIEWER, ADMIN):
        assert code(bearer(token)) is (grpc.StatusCode.OK if name == "Admit" else grpc.StatusCode.NOT_FOUND)


def test_an_ingest_server_is_no_operator(beyond: GateProcess) -> None:
    port = beyond.grpc.rpartition(":")[2]
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        operator: Any = operator_pb2_grpc.OperatorStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            operator.ListStreams(
                operator_pb2.ListStreamsRequest(), metadata=bearer(INGEST), timeout=TIMEOUT_S
            )
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_beyond_this_machine_metrics_need_a_token(beyond: GateProcess) -> None:
    url = f"http://127.0.0.1:{beyond.http.rpartition(':')[2]}"
    for headers in (
        {},
        {"authorization": "Bearer nobody-has-this-token"},
        {"authorization": f"Bearer {INGEST}"},
    ):
        refused = httpx.get(f"{url}/metrics", headers=headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert "edge_" not in refused.text
        assert httpx.get(f"{url}/healthz", headers=headers).text == "ok\n"
    answer = httpx.get(f"{url}/metrics", headers={"authorization": f"Bearer {VIEWER}"})
    assert "edge_admissions" in answer.text


async def test_the_reference_ingest_shows_its_token(beyond: GateProcess, tmp_path: Path) -> None:
    """The address is of this machine, so the way there is in clear text."""
    token = tmp_path / "token"
    token.write_text(f"{INGEST}\n")
    token.chmod(0o600)
    gate = f"127.0.0.1:{beyond.grpc.rpartition(':')[2]}"
    client = GateClient(ingest_settings(gate=gate, gate_token=str(token)))
    try:
        answer = await client.admit(PublishRequest("live", "x", "anna", "192.0.2.1"), "rc_1")
        assert answer.allowed
        assert await client.confirm_cut(AdmittedStream.of(answer), 0) == -1.0
    finally:
        await client.close()
    stranger = GateClient(ingest_settings(gate=gate))
    try:
        with pytest.raises(GateUnavailable, match="UNAUTHENTICATED"):
            await stranger.admit(PublishRequest("live", "x", "anna", "192.0.2.1"), "rc_2")
    finally:
        await stranger.close()


def test_a_token_goes_to_another_machine_over_tls_alone(tmp_path: Path) -> None:
    """0.0.0.0 is this machine, and the command cannot know that."""
    tokens = tmp_path / "tokens"
    tokens.write_text(f"viewer vera {VIEWER}\n")
    tokens.chmod(0o600)

    def first_bytes(*, insecure: bool) -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            gate = f"0.0.0.0:{listener.getsockname()[1]}"

            def ask() -> None:
                with (
                    contextlib.suppress(CallFailed),
                    GateConnection(gate, tokens, insecure=insecure).operator(Role.VIEWER) as (stub, metadata),
                ):
                    stub.ListStreams(operator_pb2.ListStreamsRequest(), metadata=metadata, timeout=5)

            asking = threading.Thread(target=ask, daemon=True)
            asking.start()
            listener.settimeout(TIMEOUT_S)
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(TIMEOUT_S)
                said = connection.recv(3)
            asking.join(TIMEOUT_S)
            return said

    assert first_bytes(insecure=False)[:2] == b"\x16\x03"  # a TLS handshake
    assert first_bytes(insecure=True) == b"PRI"


def test_no_proxy_learns_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"viewer vera {VIEWER}\n")
    tokens.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as proxy, socket.create_server(("127.0.0.1", 0)) as gate:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("no_grpc_proxy", raising=False)
        address = f"127.0.0.1:{gate.getsockname()[1]}"
        gate.settimeout(TIMEOUT_S)
        with (
            contextlib.suppress(CallFailed),
            GateConnection(address, tokens).operator(Role.VIEWER) as (stub, metadata),
        ):
            call = stub.ListStreams.future(operator_pb2.ListStreamsRequest(), metadata=metadata, timeout=5)
            gate.accept()[0].close()
            call.cancel()  # type: ignore[no-untyped-call]
        proxy.settimeout(0.2)
        with pytest.raises(TimeoutError):
            proxy.accept()


def test_mutual_tls(tmp_path: Path) -> None:
    ca, stranger_ca = trustme.CA(), trustme.CA()
    server, client, stranger = (
        ca.issue_cert("localhost"),
        ca.issue_cert("ingest-1"),
        stranger_ca.issue_cert("ingest-1"),
    )
    (tmp_path / "server.pem").write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
    server.private_key_pem.write_to_path(str(tmp_path / "server.key"))
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    config = ONE_WORKER + (
        f'[grpc]\ntls_cert = "{tmp_path}/server.pem"\ntls_key = "{tmp_path}/server.key"\n'
        f'tls_client_ca = "{tmp_path}/ca.pem"\n'
    )
    with GateProcess(tmp_path / "data", config=config) as gate:
        port = gate.grpc.rpartition(":")[2]

        def channel(cert: trustme.LeafCert | None) -> grpc.Channel:
            return grpc.secure_channel(
                f"localhost:{port}",
                grpc.ssl_channel_credentials(
                    ca.cert_pem.bytes(),
                    None if cert is None else cert.private_key_pem.bytes(),
                    None if cert is None else cert.cert_chain_pems[0].bytes(),
                ),
            )

        with channel(client) as trusted:
            assert admit(gate_pb2_grpc.GateStub(trusted)).allowed
        person = tmp_path / "person.pem"
        client.private_key_and_cert_chain_pem.write_to_path(str(person))
        person.chmod(0o644)
        without_certificate = GateConnection(f"localhost:{port}", gate.tokens, ca=tmp_path / "ca.pem")
        known = replace(without_certificate, cert=person)
        with pytest.raises(ConfigError, match="chmod 600"), known.operator(Role.VIEWER):
            pass
        person.chmod(0o600)
        with known.operator(Role.VIEWER) as (stub, metadata):
            stub.ListStreams(operator_pb2.ListStreamsRequest(), metadata=metadata, timeout=TIMEOUT_S)
        with pytest.raises(CallFailed), without_certificate.operator(Role.VIEWER) as (stub, metadata):
            stub.ListStreams(operator_pb2.ListStreamsRequest(), metadata=metadata, timeout=TIMEOUT_S)
        for cert in (None, stranger):
            with channel(cert) as untrusted, pytest.raises(grpc.RpcError) as caught:
                admit(gate_pb2_grpc.GateStub(untrusted))
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        with grpc.insecure_channel(gate.grpc) as plain, pytest.raises(grpc.RpcError) as caught:
            admit(gate_pb2_grpc.GateStub(plain))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("config", "listen", "named"),
    [
        ("", "0.0.0.0:0", "tls_cert"),
        ("[limits]\nmax_streams = 0\n", "127.0.0.1:0", "limits.max_streams"),
        ('[grpc]\ntls_cert = "/nowhere.pem"\ntls_key = "/nowhere.pem"\n', "127.0.0.1:0", "/nowhere.pem"),
        ('model_dir = "/nowhere"\n', "127.0.0.1:0", "/nowhere"),
        ('[grpc]\noperator_tokens = "/etc/passwd"\n', "127.0.0.1:0", "/etc/passwd"),
        ('ledger_url = "nosuch://x"\n', "127.0.0.1:0", "ledger_url"),
    ],
)
def test_what_cannot_work_ends_with_a_clear_line(
    config: str, listen: str, named: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught, GateProcess(tmp_path, config=config, listen=listen):
        pass
    assert named in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_a_port_in_use_is_a_clear_error(tmp_path: Path) -> None:
    with GateProcess(tmp_path / "first", config=ONE_WORKER) as first:
        assert httpx.get(f"http://{first.http}/healthz").status_code == 200
        assert "edge_admissions" in httpx.get(f"http://{first.http}/metrics").text
        with (
            pytest.raises(ConfigError, match="cannot listen"),
            GateProcess(tmp_path / "second", config=ONE_WORKER, listen=first.grpc),
        ):
            pass
