"""One contestant in a process of its own, told by its standard input when to run.

Started as ``python worker.py CONTESTANT FOLDER THREADS`` by the interpreter of the contestant's environment, so this
file and `contestants/` use NumPy and the contestant's library only. It prints one JSON object per line: first what it
took to get ready, or why the contestant refuses the work; then the answer to each command.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# a turn repeats a fast call for this long, and a call slower than that has no untimed one before it
TURN_SECONDS = 0.1


class Refused(Exception):
    """The contestant cannot run the work; the message says why."""


@dataclass(frozen=True)
class Work:
    """What `works.py` wrote to a folder."""

    folder: Path
    library: str
    trees: int
    rows: int
    threads: int

    def path(self, name: str) -> Path:
        """A file of the folder; what a contestant builds goes there as well."""
        return self.folder / name

    def matrix(self) -> Any:
        """The table of a work without a pipeline."""
        import numpy as np

        if self.library == "pipeline":
            raise Refused("takes the model only, not the pipeline before it")
        return np.load(self.path("X.npy"))


@dataclass(frozen=True)
class Ready:
    """A contestant that is loaded.

    Attributes
    ----------
    batch : callable
        Predicts the whole table once.
    row : callable, optional
        ``row(i)`` predicts the i-th of the prepared single rows.
    rows : int
        How many rows are prepared.
    facts : dict
        Seconds and bytes that are measured once: ``build_seconds`` from the trained model to something that can run
        or be saved, ``load_seconds`` from disk to that.
    compares : str
        The file that `batch` is compared with.
    """

    batch: Callable[[], Any]
    row: Callable[[int], Any] | None = None
    rows: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    compares: str = "expected.npy"


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What the call returns, and its seconds."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def median_seconds(call: Callable[[], Any], rounds: int = 5) -> float:
    """The median time of some calls."""
    return sorted(timed(call)[1] for _ in range(rounds))[rounds // 2]


def built_once(path: Path, build: Callable[[], Any]) -> float:
    """Build a file that later runs use, and give the seconds that it took when it was built."""
    note = path.with_suffix(path.suffix + ".seconds")
    if not (path.exists() and note.exists()):
        note.write_text(str(timed(build)[1]))
    return float(note.read_text())


def compare(found: Any, expected: Any) -> dict[str, Any]:
    """How many rows are off by more than rounding, and whether all bits agree."""
    import numpy as np

    found = np.asarray(found).reshape(expected.shape)
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    off = ~(difference <= 1e-5 * np.maximum(1.0, np.abs(expected)))
    if expected.ndim > 1:
        off = off.any(axis=1)
    exact = found.dtype == expected.dtype and bool((found == expected).all())
    return {"rows_off": int(off.sum()), "max_difference": float(difference.max()), "exact": exact}


def one_turn(call: Callable[[], Any], last: float) -> list[float]:
    """Times of one call, or of several when they are short."""
    times: list[float] = []
    if last < TURN_SECONDS:
        call()
    while not times or sum(times) + times[-1] < TURN_SECONDS:
        times.append(timed(call)[1])
    return times


def row_times(row: Callable[[int], Any], rows: int, count: int) -> list[float]:
    """Times of single rows, a different one each time, as in a service."""
    clock, times = time.perf_counter, []
    for i in range(count):
        which = i % rows
        start = clock()
        row(which)
        times.append(clock() - start)
    return times


def serve(ready: Ready, work: Work) -> None:
    """Answer commands until the input ends."""
    import numpy as np

    answer(ready.facts | {"ready": True, "rows": ready.row is not None})
    last = 0.0
    for line in sys.stdin:
        command = json.loads(line)
        if command == "check":
            answer(compare(ready.batch(), np.load(work.path(ready.compares))))
        elif command == "batch":
            times = one_turn(ready.batch, last)
            last = times[-1]
            answer({"seconds": times})
        else:
            row_times(ready.row, ready.rows, 200)
            answer({"seconds": row_times(ready.row, ready.rows, int(command["row"]))})


def answer(message: dict[str, Any]) -> None:
    """One line for whoever started this process, whatever libraries print meanwhile."""
    OUT.write(json.dumps(message) + "\n")
    OUT.flush()


def main() -> None:
    """Get ready, then serve."""
    name, folder, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    facts = json.loads((folder / "work.json").read_text())
    work = Work(folder, facts["library"], facts["trees"], facts["rows"], threads)
    try:
        ready = importlib.import_module(f"contestants.{name}").prepare(work)
    except Refused as refused:
        answer({"refuses": str(refused)})
    except Exception as error:  # whatever a library raises on a model or a machine that it does not know
        answer({"refuses": f"{type(error).__name__}: {error}".splitlines()[0][:160]})
    else:
        serve(ready, work)


if __name__ == "__main__":
    # libraries print to standard output, from C as well: they get the error stream
    OUT = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # contestants import this module by its name
    sys.modules["worker"] = sys.modules["__main__"]
    main()
