"""Binds Chromaprint, the acoustic fingerprint of AcoustID, from the C library of the distribution.

An item has 32 bits. They say how the tones of about two and a half seconds of audio change over time and
pitch. An item begins every 1,365 samples, 124 ms. Bindings on PyPI fingerprint a finished file. A live
stream has no end, so this one takes the raw items out while it runs.

Source: https://acoustid.org/chromaprint, ``chromaprint.h`` of 1.5.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import cache
from typing import Any

import numpy as np
import numpy.ctypeslib  # numpy would load it when it is first used, which a contained process cannot
import numpy.typing as npt

from edge.errors import ConfigError, FingerprintFailed

Items = npt.NDArray[np.uint32]

RATE = 11_025
"""Input samples a second, mono, int16."""
HOP = 1365
"""Samples from item to item."""
ITEM_MS = 1000 * HOP / RATE
LIBRARY = "libchromaprint.so.1"
MISSING = (
    "libchromaprint is not installed (Debian: apt-get install libchromaprint1): "
    "the gate neither banks nor finds known audio"
)
_ALGORITHM = 1
"""CHROMAPRINT_ALGORITHM_TEST2, which the library and fpcalc use by default."""


def _loaded(name: str | None) -> Any:
    try:
        return None if name is None else ctypes.CDLL(name)
    except OSError:
        return None


@cache
def _library() -> Any:
    """Loads the library and declares its types. None where it is not installed."""
    library = _loaded(LIBRARY) or _loaded(ctypes.util.find_library("chromaprint"))  # which starts programs
    if library is None:
        return None
    context, number = ctypes.c_void_p, ctypes.c_int
    items = ctypes.POINTER(ctypes.POINTER(ctypes.c_uint32))
    signatures = {
        "new": (context, [number]),
        "free": (None, [context]),
        "start": (number, [context, number, number]),
        "feed": (number, [context, ctypes.c_void_p, number]),
        "finish": (number, [context]),
        "get_raw_fingerprint": (number, [context, items, ctypes.POINTER(number)]),
        "clear_fingerprint": (number, [context]),
        "dealloc": (None, [ctypes.c_void_p]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, f"chromaprint_{name}")
        function.restype, function.argtypes = result, arguments
    return library


def available() -> bool:
    """Whether libchromaprint is installed."""
    return _library() is not None


class Chromaprint:
    """Fingerprints one run of audio in constant memory. Raises ConfigError where the library is missing."""

    def __init__(self) -> None:
        library = _library()
        if library is None:
            raise ConfigError(MISSING)
        self._library = library
        self._context: int | None = library.chromaprint_new(_ALGORITHM)
        self.restart()

    def __del__(self) -> None:
        if getattr(self, "_context", None):
            self._library.chromaprint_free(self._context)
            self._context = None

    def restart(self) -> None:
        """Forgets the audio so far, because other audio begins."""
        self._call("start", RATE, 1)

    def feed(self, samples: npt.NDArray[np.int16]) -> Items:
        """Takes int16 samples ``(n,)``. Returns the items that they complete, uint32 ``(m,)``."""
        samples = np.ascontiguousarray(samples, np.int16)
        self._call("feed", samples.ctypes.data, len(samples))
        # Without "finish" up to three seconds wait in a buffer. Audio fed later still continues the run.
        self._call("finish")
        data, size = ctypes.POINTER(ctypes.c_uint32)(), ctypes.c_int()
        self._call("get_raw_fingerprint", ctypes.byref(data), ctypes.byref(size))
        try:
            if not size.value:
                return np.empty(0, np.uint32)
            items = numpy.ctypeslib.as_array(data, (size.value,)).astype(np.uint32)
        finally:
            self._library.chromaprint_dealloc(data)
        self._call("clear_fingerprint")
        return items

    def _call(self, name: str, *arguments: Any) -> None:
        if not self._context or not getattr(self._library, f"chromaprint_{name}")(self._context, *arguments):
            raise FingerprintFailed(f"chromaprint_{name} failed")
