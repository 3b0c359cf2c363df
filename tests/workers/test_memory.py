"""What counts as a worker's own memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.workers import memory
from edge.workers.memory import give_back, resident_bytes

SIZE_BYTES = 64 * 1024 * 1024


def test_mapped_files_are_not_a_workers_own_memory(tmp_path: Path) -> None:
    path = tmp_path / "bank"
    path.write_bytes(bytes(SIZE_BYTES))
    before = resident_bytes()
    mapped = np.memmap(path, dtype=np.uint8, mode="r")
    assert int(mapped[::4096].sum()) == 0
    assert resident_bytes() - before < SIZE_BYTES // 2
    own = np.ones(SIZE_BYTES, dtype=np.uint8)
    assert resident_bytes() - before > SIZE_BYTES // 2
    del own


@pytest.mark.skipif(memory._TRIM is None, reason="a C library that keeps nothing for itself")
def test_freed_memory_between_what_is_kept_goes_back_to_the_system() -> None:
    held = [bytes([number % 256]) * 4000 for number in range(40_000)]
    kept = held[::400]
    before = resident_bytes()
    del held
    freed = resident_bytes()
    give_back()
    assert before - resident_bytes() > 100 * 2**20
    assert len(kept) == 100
    assert freed > before - 100 * 2**20, "the library would have given it back by itself"
