"""A double of a ledger that fails: a real one whose methods raise as often as a test says."""

from __future__ import annotations

from typing import Any

from edge.ledger.durable import DurableLedger


class FailingLedger(DurableLedger):
    """Every method is the real one, until ``fail`` is called for it."""

    def fail(self, method: str, *errors: Exception | None) -> list[tuple[Any, ...]]:
        """The next calls of a method raise these in turn, and pass where there is None; later ones pass.

        Returns the arguments of each call, which come in as it is called.
        """
        real, calls = getattr(self, method), list[tuple[Any, ...]]()

        def called(*arguments: Any) -> Any:
            calls.append(arguments)
            error = errors[len(calls) - 1] if len(calls) <= len(errors) else None
            if error is not None:
                raise error
            return real(*arguments)

        setattr(self, method, called)
        return calls
