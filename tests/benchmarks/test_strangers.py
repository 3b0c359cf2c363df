"""The floods of the strangers benchmark do what they say."""

from __future__ import annotations

import multiprocessing
import socket
import threading

import pytest

from benchmarks.strangers import FLOODS, figures
from tests.api.http2 import PREFACE

FIRST = {"connections": b"P", "handshakes": b"\x16"}
"""What a server sees first of each."""


@pytest.mark.parametrize("flood", FIRST)
def test_a_flood_counts_what_it_does(flood: str) -> None:
    done = multiprocessing.get_context("spawn").Value("q")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = listener.getsockname()
        attacker = threading.Thread(
            target=FLOODS[flood], args=(lambda: socket.create_connection(place, 20), done)
        )
        attacker.start()
        with listener.accept()[0] as taken:
            assert taken.recv(1) == FIRST[flood]
            taken.sendall(b"hello")
        attacker.join(20)
    assert done.value == 1


def test_who_is_not_answered_counts() -> None:
    assert figures([1.0, None, 3.0]) == {"asked": 3, "answered": 2, "p50": 2.0, "p95": 2.9, "max": 3.0}
    assert figures([None]) == {"asked": 1, "answered": 0}
    assert PREFACE.startswith(FIRST["connections"])
