"""Shows the detector model and swaps it while the gate runs."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge.config import Settings
from edge.detect import PackFiles, default_model_directory, read_pack
from edge.detect.default_policy import policy_for
from edge.detect.recorded import NOT_RECORDED
from edge.detect.store import Choice, ModelStore
from edge.errors import ModelError
from edge.own_process import run_module
from edge.policy import Policy
from edge.reasons import AlarmReason
from edge.supervise.alarms import Alarm, Alarms
from edge.supervise.context import Context
from edge.telemetry.records import ModelChanged

PART = "model"
DEFAULT_BUDGET_MS = 6.0
_MARGIN = 1.1
"""Factor by which two timings of one model may differ on a busy gate."""
_UNBOUNDED_MS = 1e9
_CHECK_S = 60.0
_THRESHOLDS = ("raise_at", "flag_at", "cut_at")


@dataclass(frozen=True, slots=True)
class ModelInForce:
    """The pack in force, the choice that put it there, and notes for people."""

    pack: PackFiles
    choice: Choice | None
    """None means that the model comes from the settings."""
    notes: tuple[str, ...]


class ModelSwap:
    """Swaps the model, one swap at a time."""

    def __init__(self, context: Context, alarms: Alarms) -> None:
        self._context = context
        self._alarms = alarms
        self._store = model_store(context.settings)
        self._lock = asyncio.Lock()

    async def current(self) -> ModelInForce:
        """Returns the model in force. Raises ModelError if its files and their last good copy are damaged."""
        return await asyncio.to_thread(self._current)

    def _current(self) -> ModelInForce:
        try:
            pack = read_pack(self._store.in_force())
        except ModelError:
            pack = read_pack(self._store.verified_copy()[0])
        return ModelInForce(pack, self._store.choice(), tuple(notes(pack, self._context.policy)))

    async def judged(self) -> frozenset[str] | None:
        """Categories that the model in force judges. None if its files cannot be read now."""
        try:
            return frozenset((await self.current()).pack.manifest.categories)
        except ModelError:
            return None

    async def look_after(self) -> None:
        """Raises the alarm while the files of the model are damaged, and mends the copy that workers read."""
        damage = await asyncio.to_thread(self._store.damage)
        try:
            _, problem = await asyncio.to_thread(self._store.verified_copy)
        except ModelError as error:
            problem = str(error)
        alarms = [(AlarmReason.UNREADABLE, damage), (AlarmReason.NOT_COPIED, "" if damage else problem)]
        self._alarms.set_alarms(PART, [Alarm(reason, "", detail) for reason, detail in alarms if detail])

    async def swap(
        self, directory: Path, expected_digest: str, budget_ms: float, reason: str, by: str
    ) -> ModelInForce:
        """Puts a model in force after it is verified, loaded by every worker and recorded.

        Any error leaves everything as it was. Raises ModelError and LedgerUnavailable.
        """
        async with self._lock:
            pack = await asyncio.to_thread(self._store.take, directory)
            digest = pack.digest
            before = self._context.pool.model_digest
            try:
                if expected_digest and digest != expected_digest:
                    raise ModelError(f"{directory}: digest {digest} is not the expected {expected_digest}")
                judged = await asyncio.to_thread(_judged, self._context.policy)
                missing = sorted(judged - set(pack.manifest.categories))
                if missing:
                    raise ModelError(
                        f"{directory}: it does not judge {', '.join(missing)}, which the policy in force "
                        "decides on; take that out of the policy first"
                    )
                choice = Choice(
                    digest=digest,
                    configured=str(self._store.configured),
                    set_wall_ms=self._context.clock.wall_ms(),
                    set_by=by,
                    reason=reason,
                    sample_ms=await self._checked(pack.directory, directory, budget_ms),
                )
                await self._put_in_force(pack, choice, before)
            except BaseException:
                await asyncio.to_thread(self._store.tidy, before)
                raise
            await asyncio.to_thread(self._store.tidy, digest, before)
            return ModelInForce(pack, choice, tuple(notes(pack, self._context.policy)))

    async def _put_in_force(self, files: PackFiles, choice: Choice, before: str) -> None:
        pool = self._context.pool
        await pool.load_model(files.directory, choice.digest)
        try:
            await self._record(files, choice, before)
        except BaseException:
            pool.forget_model()
            raise
        pool.use_model(files.directory, choice.digest)
        about = files.manifest
        changed = ModelChanged(about.name, about.version, choice.digest, choice.set_by)
        self._context.telemetry.report(changed)

    async def _checked(self, place: Path, named: Path, budget_ms: float) -> float:
        """Returns the cost in milliseconds a sample. Raises ModelError if it is over the budget."""
        cost_ms = await _cost(place, named)
        in_force_ms = 0.0
        if not budget_ms and cost_ms > DEFAULT_BUDGET_MS:
            in_force = await asyncio.to_thread(self._store.in_force)
            in_force_ms = await _cost(in_force, in_force)
        if too_much := over_budget(cost_ms, budget_ms, in_force_ms):
            raise ModelError(f"{named}: {too_much}")
        return cost_ms

    async def _record(self, files: PackFiles, choice: Choice, before: str) -> None:
        """Records the choice in the gate's folder and in the ledger, or in neither."""
        earlier = await asyncio.to_thread(self._store.choice)
        await asyncio.to_thread(self._store.choose, choice)
        about = files.manifest
        put = functools.partial(
            self._context.operator_ledger.model_put, about.name, about.version, choice.digest, before
        )
        try:
            await self._context.executor.person(put, choice.set_by, choice.reason, choice.set_wall_ms)
        except BaseException:
            await asyncio.to_thread(self._store.choose, earlier)
            raise


def over_budget(cost_ms: float, budget_ms: float, in_force_ms: float) -> str:
    """Why a model costs too much a sample. Empty if it does not.

    Without a budget (0) a model passes if it costs no more than the model in force. If the machine is too
    slow or too busy for either, that is no reason to keep the old one.
    """
    limit_ms = budget_ms or max(DEFAULT_BUDGET_MS, _MARGIN * in_force_ms)
    if cost_ms <= limit_ms:
        return ""
    beside = f"; the one in force costs {in_force_ms:g} here" if in_force_ms else ""
    return f"{cost_ms:g} ms a sample is over the budget of {budget_ms or DEFAULT_BUDGET_MS:g} ms{beside}"


def model_store(settings: Settings) -> ModelStore:
    """The model store of a gate with these settings."""
    return ModelStore(settings.models, settings.model_dir or default_model_directory())


def notes(pack: PackFiles, policy: Policy) -> Iterable[str]:
    """Yields notes where a policy differs from a model, and on what the model lacks. Thresholds come from the
    policy, not from the model."""
    if any(not model.recorded for model in pack.manifest.models):
        yield NOT_RECORDED
    suggested = policy_for(pack.manifest).categories
    for category in pack.manifest.categories:
        part = policy.categories.get(category)
        if part is None:
            yield f"the policy says nothing of {category}: it is scored, and nothing is decided on it"
            continue
        wanted = suggested[category]
        differing = [
            f"{name} {getattr(part, name):g} (the model suggests {getattr(wanted, name):g})"
            for name in _THRESHOLDS
            if getattr(part, name) != getattr(wanted, name)
        ]
        if differing:
            yield f"{category}: the policy in force goes on with {', '.join(differing)}"


def _judged(policy: Policy) -> set[str]:
    """Categories that the policy decides on in any app and tenant."""
    apps, tenants = ("", *policy.apps), ("", *policy.tenants)
    return {name for app in apps for tenant in tenants for name in policy.for_app(app, tenant).categories}


async def _cost(directory: Path, named: Path) -> float:
    """Runs `edge-gate model check` in its own process, since a graph may crash the process that runs it.

    Returns the median cost in milliseconds a sample, or a frame or window of audio where that costs more.
    ``named`` is the folder's name in errors. Raises ModelError.
    """
    command = "model", "check", str(directory), "--budget-ms", str(_UNBOUNDED_MS), "--json"
    try:
        ended = await run_module("edge.cli", *command, longest_s=_CHECK_S)
    except TimeoutError:
        raise ModelError(f"{named}: the check took longer than {_CHECK_S:g} s") from None
    found = {}
    with contextlib.suppress(ValueError):
        found = json.loads(ended.said)
    if "error" in found:
        raise ModelError(str(found["error"]).replace(str(directory), str(named)))
    if ended.code or "models" not in found:
        raise ModelError(f"{named}: running it brought down the check (exit code {ended.code})")
    return max(float(model["ms_p50"]) for model in found["models"])
