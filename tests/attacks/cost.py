"""What a load costs, measured in a process of its own: prints peak memory beyond the start, seconds, the verdict."""

from __future__ import annotations

import sys
import time
from pathlib import Path


def peak() -> int:
    """Read the most memory this process ever had; getrusage would count its parent's before exec."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main(path: str) -> None:
    from mlcore import _core
    from mlcore.errors import ArtifactError

    before = peak()
    start = time.perf_counter()
    try:
        _core.Model.load(path)
        verdict = "loaded"
    except ArtifactError:
        verdict = "refused"
    print(peak() - before, time.perf_counter() - start, verdict)


if __name__ == "__main__":
    main(sys.argv[1])
