"""Shared by all tests: the module built in place (`make dev`) wins over an installed wheel; `cases` is importable."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# MLCORE_TEST_PACKAGE: where another build of the package lies, such as one with sanitizers
SOURCE = Path(os.environ.get("MLCORE_TEST_PACKAGE") or Path(__file__).resolve().parent.parent / "python")

if any((SOURCE / "mlcore").glob("_core*.so")):
    sys.path.insert(0, str(SOURCE))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH")]))

HERE = str(Path(__file__).resolve().parent)

if HERE not in sys.path:
    sys.path.insert(0, HERE)

import emulated  # noqa: E402 - found through the path above

emulated.use()
