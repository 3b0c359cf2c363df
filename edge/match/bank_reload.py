"""Reloads changed banks in a background thread and swaps them in between two queries.

Checking ten million hashes takes over a second. A stream's verdict is due within a quarter of a second.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from edge.errors import BankError
from edge.match.bank.bank_set import BankSet, stamp_of
from edge.match.matcher import Matcher

_NICENESS = 10
"""Added to the worker's for the reading thread. The thread that judges streams has priority."""


class BackgroundReload:
    """Keeps one matcher up to date. Only the thread that queries may call ``look`` and ``take``."""

    def __init__(
        self, matcher: Matcher, mark: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    ) -> None:
        """``mark`` is entered in the reading thread, to tell whoever looks into a crash what it does."""
        self._matcher = matcher
        self._mark = mark
        self._thread: threading.Thread | None = None
        self._read: BankSet | Exception | None = None
        self._again = False

    def look(self, *, anew: bool = False) -> None:
        """Starts a read when a bank has changed, or always with ``anew``.

        Returns at once, even where the directory's disk does not answer. Raises RuntimeError where no
        thread can be started. While an earlier change is still being read, the directory is checked again
        after that read.
        """
        if self._thread is not None:
            self._again = True
            return
        thread = threading.Thread(target=self._run, args=(anew,), name="banks", daemon=True)
        thread.start()
        self._thread = thread

    def take(self) -> bool:
        """Swaps in the banks that were read. Returns whether there were any. Never waits.

        ``banks.unreadable`` lists the banks that could not be read. Raises BankError when the read failed:
        the banks in use stay in use, and the next ``look`` tries again.
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
                ours = os.getpriority(os.PRIO_PROCESS, 0)  # of this thread alone
                os.setpriority(os.PRIO_PROCESS, 0, ours + _NICENESS)
            with self._mark():
                self._read = self._matcher.read_anew(stamp, strict=False)
        except Exception as error:  # after any error the banks in use stay, and ``take`` raises it
            self._read = BankError(f"{self._matcher.directory}: {type(error).__name__}: {error}")
