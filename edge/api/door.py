"""Keeps addresses from connecting to a listening socket: the kernel drops what they send.

A filter on the listener (classic BPF, which needs no rights) sees each packet before there is a connection.
So who stands before a shut door costs this process nothing: no TLS handshake and no descriptor. Connections
that there are already go on.
"""

from __future__ import annotations

import ctypes
import ipaddress
import socket
import struct
from collections.abc import Collection, Iterable
from typing import Final

MOST: Final = 256
"""Addresses a door can be shut to. The kernel bounds the size of a filter."""
_ATTACH: Final = 26
_DETACH: Final = 27
"""SO_ATTACH_FILTER and SO_DETACH_FILTER, which Python's socket module does not name."""
_NET: Final = 0xFFF00000
"""SKF_NET_OFF: offsets from here count from the start of the IP header."""
_LOAD_BYTE, _LOAD_WORD, _IF_EQUAL, _JUMP, _SHIFT_RIGHT, _RETURN = 0x30, 0x20, 0x15, 0x05, 0x74, 0x06
_PASS: Final = 0xFFFFFFFF
_SOURCE_4, _SOURCE_6 = 12, 8


def shut_to(listener: socket.socket, addresses: Collection[str]) -> None:
    """Drops what comes from these, and from nobody else. For IPv6 an address means its /64.

    Raises OSError where the kernel takes no filter, ValueError for more than ``MOST`` addresses and for what
    is no address.
    """
    if not addresses:
        listener.setsockopt(socket.SOL_SOCKET, _DETACH, 0)
        return
    if len(addresses) > MOST:
        raise ValueError(f"{len(addresses)} addresses, at most {MOST}")
    program = _program([ipaddress.ip_address(each) for each in addresses])
    code = ctypes.create_string_buffer(b"".join(program))
    option = struct.pack("HP", len(program), ctypes.addressof(code))
    listener.setsockopt(socket.SOL_SOCKET, _ATTACH, option)


def _program(addresses: Iterable[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> list[bytes]:
    drop, let_pass = _step(_RETURN, 0), _step(_RETURN, _PASS)
    four, six = [_step(_LOAD_WORD, _NET + _SOURCE_4)], []
    for address in addresses:
        if address.version == 4:
            four += [_step(_IF_EQUAL, int(address), otherwise=1), drop]
        else:
            high, low = struct.unpack(">II", address.packed[:8])
            six += [
                _step(_LOAD_WORD, _NET + _SOURCE_6),
                _step(_IF_EQUAL, high, otherwise=3),
                _step(_LOAD_WORD, _NET + _SOURCE_6 + 4),
                _step(_IF_EQUAL, low, otherwise=1),
                drop,
            ]
    four.append(let_pass)
    version = [_step(_LOAD_BYTE, _NET), _step(_SHIFT_RIGHT, 4)]
    return [*version, _step(_IF_EQUAL, 6, otherwise=1), _step(_JUMP, len(four)), *four, *six, let_pass]


def _step(code: int, operand: int, *, otherwise: int = 0) -> bytes:
    """One instruction. ``otherwise``: how many a comparison that is not true skips."""
    return struct.pack("HBBI", code, 0, otherwise, operand)
