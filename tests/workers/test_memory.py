"""What counts as a worker's own memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge.workers.memory import resident_bytes

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
