"""Benchmarks see the module built in place, as the tests do."""

from __future__ import annotations

import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "python"
if any((SOURCE / "mlcore").glob("_core*.so")):
    sys.path.insert(0, str(SOURCE))
sys.path.insert(0, str(Path(__file__).resolve().parent))
