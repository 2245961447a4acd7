"""The kernels take no more instructions than is stored: a regression that no busy machine hides or fakes."""

from __future__ import annotations

import sys

from tools import BUILD, ROOT, run


def test_no_kernel_takes_more_than_is_stored() -> None:
    command = [sys.executable, ROOT / "benchmarks" / "instructions.py", "--build", BUILD / "wheel"]
    assert "no kernel takes more instructions than is stored" in run(command)
