"""Saves one artifact over another with a fault at the n-th call into the system. Arguments: target, n, mode, errno."""

from __future__ import annotations

import ctypes
import os
import sys

from mlcore import _core
from mlcore.errors import ArtifactIOError

MODES = ["kill_before", "kill_after", "kill_half_written", "fail", "interrupt", "write_short"]


def main(target: str, artifact: str, n: str, mode: str, error: str) -> None:
    with open(artifact, "rb") as file:
        model = _core.Model.from_bytes(file.read())
    faults = ctypes.CDLL(os.environ["LD_PRELOAD"])
    faults.arm(int(n), MODES.index(mode), int(error))
    said = "saved"
    try:
        model.save(target)
    except ArtifactIOError as refusal:
        said = f"refused: {refusal}"
    print(faults.disarm(), said)


if __name__ == "__main__":
    main(*sys.argv[1:])
