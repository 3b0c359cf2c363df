"""Banks that changed, read and checked in a thread of their own and swapped in between two queries.

Checking ten million hashes takes over a second, and a stream's verdict is due in a quarter of one.
"""

from __future__ import annotations

import contextlib
import os
import threading

from edge.errors import BankError
from edge.match.bank.bank_set import BankSet, stamp_of
from edge.match.matcher import Matcher

_NICENESS = 10
"""Of the reading thread: the thread that judges goes first."""


class BackgroundReload:
    """Keeps one matcher up to date. ``look`` and ``take`` belong to the thread that queries."""

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher
        self._thread: threading.Thread | None = None
        self._read: BankSet | Exception | None = None
        self._again = False

    def look(self, *, anew: bool = False) -> None:
        """Start reading when a bank has changed, or ``anew`` whether or not. Returns at once, also where the
        directory is on a disk that does not answer. Raises RuntimeError where no thread can be started.

        While an earlier change is still being read, the directory is looked at again after it.
        """
        if self._thread is not None:
            self._again = True
            return
        thread = threading.Thread(target=self._run, args=(anew,), name="banks", daemon=True)
        thread.start()
        self._thread = thread

    def take(self) -> bool:
        """Swap in what has been read; whether there was anything. Never waits. What of it could not be read
        is in ``banks.unreadable``.

        On BankError the banks in use stay in use, and the next look tries again.
        """
        if self._thread is None or self._thread.is_alive():
            return False
        read, self._read, self._thread = self._read, None, None
        again, self._again = self._again, False
        try:
            if isinstance(read, Exception):
                raise read
            if read is not None:
                self._matcher.banks = read
            return read is not None
        finally:
            if again:
                self.look()

    def _run(self, anew: bool) -> None:
        try:
            stamp = stamp_of(self._matcher.directory)
            if not anew and stamp == self._matcher.banks.stamp:
                return
            with contextlib.suppress(OSError, AttributeError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
            self._read = self._matcher.banks.read_anew(self._matcher.directory, stamp, strict=False)
        except Exception as error:  # whatever it is, the banks in use stay and it is said
            self._read = BankError(f"{self._matcher.directory}: {type(error).__name__}: {error}")
