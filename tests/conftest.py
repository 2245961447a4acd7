"""Shared by all tests: the module built in place (`make dev`) wins over an installed wheel."""

from __future__ import annotations

import os
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "python"

if any((SOURCE / "mlcore").glob("_core*.so")):
    sys.path.insert(0, str(SOURCE))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH")]))


def scale(count: int) -> int:
    """A count of random trials, multiplied by MLCORE_TEST_SCALE."""
    return max(1, int(count * float(os.environ.get("MLCORE_TEST_SCALE", "1"))))
