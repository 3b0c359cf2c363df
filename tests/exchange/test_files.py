"""Hash lists in files, of this machine and of a web server, end to end into a bank."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import ConfigError, ExchangeFailed, InvalidInput
from edge.exchange.double import ExchangeDouble, Failure, exchange_double
from edge.exchange.mirror import mirror_path, read_notes
from edge.exchange.sync import STATUS
from tests.exchange.exchanges import added, digest, held, plain, run, told


def written(path: Path, numbers: range) -> None:
    path.write_text("".join(f"{digest(number)}\n" for number in numbers))


def test_a_file_fills_a_bank_and_what_leaves_the_file_leaves_the_bank(tmp_path: Path) -> None:
    listed, banks = tmp_path / "list.txt", tmp_path / "banks"
    written(listed, range(50))
    definition = added(banks, "file", options={"path": str(listed)})
    assert run(banks, definition).updated.added == 50
    assert run(banks, definition).fetched == 0, "the file has not changed"
    written(tmp_path / "new.txt", range(10, 60))
    (tmp_path / "new.txt").rename(listed)
    done = run(banks, definition)
    assert (done.updated.added, done.updated.removed) == (10, 10)
    assert held(banks) == {"partner": plain(range(10, 60))}


def test_a_list_with_a_wrong_line_changes_nothing(tmp_path: Path) -> None:
    listed, banks = tmp_path / "list.txt", tmp_path / "banks"
    written(listed, range(50))
    definition = added(banks, "file", options={"path": str(listed)})
    run(banks, definition)
    with listed.open("a") as file:
        file.write(f"{digest(99)}\nno hash\n")
    with pytest.raises(InvalidInput, match=r"list\.txt:52: "):
        run(banks, definition)
    assert held(banks) == {"partner": plain(range(50))}
    status = read_notes(mirror_path(banks, "partner"))[STATUS]
    assert status["failures"] == 1
    assert "list.txt:52" in status["error"]


def test_withdrawals_of_a_list_are_honoured(tmp_path: Path) -> None:
    listed, banks = tmp_path / "list.jsonl", tmp_path / "banks"
    own = f'{{"id": "a", "hashes": [["{digest(1)}", 0, 0, 100, "original"]]}}\n'
    listed.write_text(own + own.replace('"a"', '"b"'))
    definition = added(banks, "file", options={"path": str(listed)})
    run(banks, definition)
    listed.write_text(own + own.replace('"a"', '"b"') + '{"id": "a", "withdrawn": true}\n')
    run(banks, definition)
    assert held(banks) == {"partner": {"b": (digest(1),)}}


def test_a_list_of_a_web_server_is_fetched_when_it_has_changed(tmp_path: Path) -> None:
    with exchange_double() as server:
        server.put(*(told(number) for number in range(50)))
        definition = added(tmp_path, "http", options={"url": f"{server.url}/list.txt"})
        run(tmp_path, definition)
        assert run(tmp_path, definition).fetched == 0
        assert server.requests[-1].headers["if-none-match"]
        server.withdraw("3")
        run(tmp_path, definition)
        assert held(tmp_path) == {"partner": plain(set(range(50)) - {3})}


@pytest.mark.parametrize("failure", [Failure(500), Failure(429, {"retry-after": "2"}), Failure(broken=True)])
def test_a_server_that_fails_now_and_then_is_asked_again(tmp_path: Path, failure: Failure) -> None:
    with exchange_double() as server:
        server.put(*(told(number) for number in range(50)))
        server.fail_next(failure, failure)
        run(tmp_path, added(tmp_path, "http", options={"url": f"{server.url}/list.txt"}))
        assert held(tmp_path) == {"partner": plain(range(50))}
        assert len(server.requests) == 3


def test_a_server_that_wants_a_long_pause_gets_it(tmp_path: Path) -> None:
    with exchange_double() as server:
        server.fail_next(Failure(429, {"retry-after": "7200"}))
        with pytest.raises(ExchangeFailed, match="asks to be left alone") as raised:
            run(tmp_path, added(tmp_path, "http", options={"url": f"{server.url}/list.txt"}))
        assert raised.value.wait_s == 7200
        assert len(server.requests) == 1
    status = read_notes(mirror_path(tmp_path, "partner"))[STATUS]
    assert status["not_before_ms"] - status["tried_ms"] == 7_200_000


def test_secrets_come_from_a_private_file_and_stay_there(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("anna:open sesame".replace(" ", "-"))
    with exchange_double() as server:
        options = {"url": f"{server.url}/list.txt"}
        definition = added(tmp_path / "banks", "http", options=options, credentials=secret)
        secret.chmod(0o644)
        with pytest.raises(ConfigError, match="chmod 600"):
            run(tmp_path / "banks", definition)
        secret.chmod(0o600)
        server.fail_next(Failure(401))
        with pytest.raises(ExchangeFailed, match="refused") as raised:
            run(tmp_path / "banks", definition)
        assert "sesame" not in str(raised.value)
        run(tmp_path / "banks", definition)
        assert server.requests[-1].headers["authorization"].startswith("Basic ")
    kept = b"".join(path.read_bytes() for path in (tmp_path / "banks").iterdir())
    assert b"sesame" not in kept


def test_secrets_are_not_sent_in_the_clear_or_to_another_server(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("token")
    secret.chmod(0o600)
    definition = added(tmp_path, "http", options={"url": "http://lists.example/a"}, credentials=secret)
    with pytest.raises(InvalidInput, match="in the clear"):
        run(tmp_path, definition)


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    with exchange_double() as server:
        server.fail_next(Failure(302, {"location": "http://elsewhere.example/"}))
        with pytest.raises(ExchangeFailed, match="HTTP 302"):
            run(tmp_path, added(tmp_path, "http", options={"url": f"{server.url}/list.txt"}))


def test_a_list_over_its_limit_is_refused(tmp_path: Path) -> None:
    def fill(server: ExchangeDouble) -> None:
        server.put(*(told(number) for number in range(20_000)))

    with exchange_double() as server:
        fill(server)
        with pytest.raises(ExchangeFailed, match="over the limit"):
            run(tmp_path, added(tmp_path, "http", options={"url": f"{server.url}/list.txt", "max_mb": "1"}))
    assert held(tmp_path) == {}


def test_a_list_of_one_video_keeps_its_name_and_leaves_no_copy(tmp_path: Path) -> None:
    listed, banks = tmp_path / "attack.vpdq", tmp_path / "banks"
    listed.write_text("".join(f"{frame},100,{digest(frame)},{frame}.0\n" for frame in range(3)))
    definition = added(banks, "file", options={"path": str(listed)})
    run(banks, definition)
    listed.touch()
    assert run(banks, definition).updated.replaced == 0
    assert list(held(banks)["partner"]) == ["attack"]
    assert [path.name for path in banks.iterdir() if path.name.endswith(".part")] == []
