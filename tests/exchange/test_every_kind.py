"""The same of every kind of exchange, against a server that speaks its documented API over a real socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.errors import ExchangeFailed, GateError
from edge.exchange.definition import Definition
from edge.exchange.double import GRAPH_TOKEN, ExchangeDouble, Failure, Told, exchange_double
from edge.exchange.registry import kinds
from edge.exchange.sync import Run
from edge.policy import ExchangeRule
from tests.exchange.exchanges import ClockAt, added, digest, held, run, told

SECRETS = {
    "stopncii": "fetch-key,subscription",
    "ncmec": "anna:secret",
    "threatexchange": GRAPH_TOKEN,
}
OPTIONS: dict[str, dict[str, str]] = {
    "stopncii": {},
    "ncmec": {},
    "threatexchange": {"privacy_group": "4711"},
    "hma": {"bank": "PARTNER", "gap": "50"},
    "http": {},
}
WITH_OPINIONS = ("stopncii", "ncmec", "threatexchange")
TAKE_ALL = (ExchangeRule(purpose="violating"),)


@dataclass
class Joined:
    """An exchange that was added, and the server behind it."""

    kind: str
    server: ExchangeDouble
    folder: Path
    definition: Definition

    def run(self, *, later_s: int = 0, **more: Any) -> Run:
        """``later_s``: how much later than soon after the last change."""
        clock = ClockAt(self.server.now_s + 10 + later_s)
        return run(self.folder, self.definition, clock, **{"table": TAKE_ALL, **more})

    def held(self, bank: str = "partner") -> Set[str]:
        """Hashes of a bank."""
        return {each for hashes in held(self.folder).get(bank, {}).values() for each in hashes}


Join = Callable[[str], Joined]


@pytest.fixture
def join(tmp_path: Path) -> Iterator[Join]:
    with exchange_double(page_size=20) as server:

        def joined(kind: str) -> Joined:
            path = "/list.txt" if kind == "http" else ""
            options = OPTIONS[kind] | {"url": server.url + path}
            secret = None
            if kind in SECRETS:
                secret = tmp_path / "secret"
                secret.write_text(SECRETS[kind])
                secret.chmod(0o600)
            definition = added(tmp_path / "banks", kind, options=options, credentials=secret)
            return Joined(kind, server, tmp_path / "banks", definition)

        yield joined


def hashes(*numbers: int) -> set[str]:
    return {digest(number) for number in numbers}


def test_every_kind_is_here() -> None:
    """Files and other gates have tests of their own."""
    assert {*OPTIONS, "file", "gate"} == set(kinds())


@pytest.mark.parametrize("kind", OPTIONS)
def test_pages_changes_and_withdrawals(join: Join, kind: str) -> None:
    joined = join(kind)
    joined.server.put(*(told(number) for number in range(1, 71)))
    joined.run()
    assert joined.held() == hashes(*range(1, 71))
    joined.server.put(told(71), told(72))
    joined.server.withdraw("5", "72")
    # HMA tells of no withdrawal, so all is asked for again after a while.
    done = joined.run(later_s=7200 if kind == "hma" else 0)
    assert joined.held() == hashes(*range(1, 72)) - hashes(5)
    assert kind in ("hma", "http") or not done.all_anew


@pytest.mark.parametrize("kind", ["stopncii", "threatexchange"])
def test_a_checkpoint_that_is_too_old_is_given_up_and_what_is_gone_leaves(join: Join, kind: str) -> None:
    joined = join(kind)
    joined.server.put(*(told(number) for number in range(1, 41)))
    joined.run()
    joined.server.forget("7")  # its withdrawal was told for a while only
    joined.server.put(told(41))
    assert not joined.run().all_anew
    assert digest(7) in joined.held()
    assert joined.run(later_s=86 * 86_400).all_anew
    assert joined.held() == hashes(*range(1, 42)) - hashes(7)


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_server_that_says_that_the_checkpoint_is_gone_is_asked_for_everything(
    join: Join, kind: str
) -> None:
    joined = join(kind)
    joined.server.put(*(told(number) for number in range(1, 31)))
    joined.run()
    joined.server.forget("7")
    joined.server.fail_next(Failure(410))
    assert joined.run(later_s=60).all_anew
    assert joined.held() == hashes(*range(1, 31)) - hashes(7)


@pytest.mark.parametrize("kind", WITH_OPINIONS)
def test_the_table_decides_by_opinion_and_tag(join: Join, kind: str) -> None:
    joined = join(kind)
    joined.server.put(told(1), told(2, opinion="negative"), told(3, tags=("worst",)))
    table = (
        ExchangeRule(tags=("wor*",), purpose="violating", severity="critical"),
        ExchangeRule(opinion="negative", purpose="none"),
        ExchangeRule(opinion="disputed", purpose="benign"),
        ExchangeRule(purpose="violating", action="flag"),
    )
    joined.run(table=table)
    assert joined.held("partner.violating-critical") == hashes(3)
    # A vote against what somebody has reported is disputed.
    disputed = kind in ("ncmec", "stopncii")
    assert joined.held("partner.benign-high") == (hashes(2) if disputed else set())
    assert joined.held("partner.investigate-high") == hashes(1)
    # Another table moves the entries without a request.
    asked = len(joined.server.requests)
    joined.run(table=(ExchangeRule(purpose="violating"),))
    assert joined.held() == hashes(1, 2, 3)
    assert joined.held("partner.violating-critical") == set()
    assert len(joined.server.requests) <= asked + 2


@pytest.mark.parametrize("kind", [*WITH_OPINIONS, "hma"])
def test_what_cannot_be_used_is_counted_by_its_type(join: Join, kind: str) -> None:
    joined = join(kind)
    joined.server.put(told(1), told(2, signal="md5"))
    assert list(joined.run().left_out.values()) == [1]
    assert joined.held() == hashes(1)


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_bad_page_changes_nothing(join: Join, kind: str) -> None:
    joined = join(kind)
    joined.server.put(*(told(number) for number in range(1, 11)))
    joined.run()
    joined.server.put(told(11), Told("12", "no hash"))
    for answer in (Failure(200, {}, b"<html>maintenance</html>"), None):
        joined.server.fail_next(answer)
        with pytest.raises(GateError) as raised:
            joined.run(later_s=7200)
        assert not isinstance(raised.value, ExchangeFailed) or "secret" not in str(raised.value)
    assert joined.held() == hashes(*range(1, 11))


@pytest.mark.parametrize("kind", SECRETS)
def test_refused_credentials_are_said_without_them(join: Join, kind: str) -> None:
    joined = join(kind)
    joined.server.fail_next(Failure(401))
    with pytest.raises(ExchangeFailed, match="credentials are refused") as raised:
        joined.run()
    assert not any(part in str(raised.value) for part in SECRETS[kind].replace("|", ",").split(","))


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_busy_server_is_waited_for(join: Join, kind: str) -> None:
    joined = join(kind)
    joined.server.put(*(told(number) for number in range(1, 31)))
    joined.server.fail_next(None, Failure(429, {"retry-after": "3"}), Failure(503), Failure(broken=True))
    joined.run()
    assert joined.held() == hashes(*range(1, 31))
