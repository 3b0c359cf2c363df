"""Contains the calling process in its role, and says what is in force."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from edge.containment.kernel import Kernel, LinuxKernel
from edge.containment.role import ContainmentMode, Measure, ProcessRole
from edge.errors import NotContained


@dataclass(frozen=True, slots=True)
class Containment:
    """What contains a process."""

    role: str
    in_force: tuple[Measure, ...] = ()
    missing: Mapping[Measure, str] = field(default_factory=dict)
    """Why each measure of the role is not in force."""


def problems(missing: Mapping[Measure, str]) -> tuple[str, ...]:
    """Returns what is missing and why, for people, one text a measure."""
    return tuple(f"{measure}: {why}" for measure, why in missing.items())


def contain(role: ProcessRole, mode: ContainmentMode, kernel: Kernel | None = None) -> Containment:
    """Contains this process for good.

    Call it after imports, because it cannot read modules any more, and before the first thread starts,
    because Landlock holds for the calling thread and those that it starts. Raises NotContained with
    ``ContainmentMode.REQUIRE`` where the kernel lacks a measure. The process must end then.
    """
    if mode is ContainmentMode.OFF:
        return Containment(role.name, (), dict.fromkeys(role.measures, "containment = off"))
    kernel = LinuxKernel() if kernel is None else kernel
    # All checks come first. They read files and load libraries, which no contained process can.
    missing = _tried(role.measures, kernel.check)
    if not missing or mode is ContainmentMode.TRY:
        missing |= _tried(
            (measure for measure in role.measures if measure not in missing),
            lambda measure: kernel.put_in_force(measure, role),
        )
    if missing and mode is ContainmentMode.REQUIRE:
        raise NotContained(role.name, problems(missing))
    in_force = (measure for measure in role.measures if measure not in missing)
    return Containment(role.name, tuple(in_force), missing)


def lacking(kernel: Kernel | None = None) -> Mapping[Measure, str]:
    """Returns why each measure that this machine lacks is missing. Changes nothing."""
    return _tried(Measure, (LinuxKernel() if kernel is None else kernel).check)


def _tried(measures: Iterable[Measure], act: Callable[[Measure], None]) -> dict[Measure, str]:
    """Returns why ``act`` failed, for each measure where it did."""
    failed: dict[Measure, str] = {}
    for measure in measures:
        try:
            act(measure)
        except OSError as error:
            failed[measure] = error.strerror or str(error)
    return failed
