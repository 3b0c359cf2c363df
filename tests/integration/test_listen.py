"""Where the gate listens, and unsafe addresses that it refuses by default."""

from __future__ import annotations

from pathlib import Path

import grpc
import httpx
import pytest
import trustme

from edge.contract.gen import gate_pb2_grpc
from edge.errors import ConfigError
from edge.gate_process import GateProcess
from tests.integration.calls import admit

ONE_WORKER = "[workers]\ncount = 1\n"


def test_unix_socket(tmp_path: Path) -> None:
    address = f"unix:{tmp_path / 'gate.sock'}"
    with GateProcess(tmp_path / "data", config=ONE_WORKER, listen=address) as gate:
        assert gate.grpc == address
        with grpc.insecure_channel(address) as channel:
            assert admit(gate_pb2_grpc.GateStub(channel)).allowed


def test_insecure_must_be_said(tmp_path: Path) -> None:
    config = ONE_WORKER + "[grpc]\ninsecure = true\n"
    with GateProcess(tmp_path, config=config, listen="0.0.0.0:0") as gate:
        port = gate.grpc.rpartition(":")[2]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert admit(gate_pb2_grpc.GateStub(channel)).allowed


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
