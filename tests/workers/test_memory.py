"""A worker's own memory.

Each test has its own process. Otherwise memory that other tests freed would be reused, and nothing would
seem to grow.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from edge.workers import memory
from edge.workers.memory import give_back, resident_bytes

SIZE_BYTES = 64 * 1024 * 1024


def in_a_new_process(function: Callable[..., tuple[int, int]], *arguments: object) -> tuple[int, int]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def growth_by_a_mapped_file_and_by_own_memory(path: Path) -> tuple[int, int]:
    before = resident_bytes()
    mapped = np.memmap(path, dtype=np.uint8, mode="r")
    assert int(mapped[::4096].sum()) == 0
    by_mapped = resident_bytes() - before
    own = np.ones(SIZE_BYTES, dtype=np.uint8)
    by_both = resident_bytes() - before
    assert own[-1] == 1
    return by_mapped, by_both - by_mapped


def freed_by_itself_and_given_back() -> tuple[int, int]:
    held = [bytes([number % 256]) * 4000 for number in range(40_000)]
    kept = held[::400]
    before = resident_bytes()
    del held
    freed = before - resident_bytes()
    give_back()
    assert len(kept) == 100
    return freed, before - resident_bytes()


def test_mapped_files_are_not_a_workers_own_memory(tmp_path: Path) -> None:
    path = tmp_path / "bank"
    path.write_bytes(bytes(SIZE_BYTES))
    by_mapped, by_own = in_a_new_process(growth_by_a_mapped_file_and_by_own_memory, path)
    assert by_mapped < SIZE_BYTES // 4
    assert by_own > SIZE_BYTES * 3 // 4


@pytest.mark.skipif(memory._TRIM is None, reason="a C library that keeps nothing for itself")
def test_freed_memory_between_what_is_kept_goes_back_to_the_system() -> None:
    freed, given_back = in_a_new_process(freed_by_itself_and_given_back)
    assert given_back > 100 * 2**20
    assert freed < 100 * 2**20, "the library would have given it back by itself"
