"""Prints the peak resident memory of this process after loading one engine's model and predicting 100,000 rows."""

from __future__ import annotations

import pickle
import re
import sys
import tempfile
from pathlib import Path

CACHE = Path(tempfile.gettempdir()) / "mlcore-bench-memory"


def prepare() -> None:
    """Fit and save once, in a process whose memory is not measured."""
    import mlcore
    from cases import fitted

    estimator, table = fitted("table-xgboost")
    CACHE.mkdir(exist_ok=True)
    (CACHE / "model.pkl").write_bytes(pickle.dumps(estimator))
    mlcore.compile(estimator, table.iloc[:1_000]).save(CACHE / "model.mlc")
    (CACHE / "table.pkl").write_bytes(pickle.dumps(table))


def main() -> None:
    """Run one engine and print bytes."""
    if sys.argv[1] == "prepare":
        prepare()
        return
    if not (CACHE / "table.pkl").exists():
        import subprocess

        subprocess.run([sys.executable, __file__, "prepare"], check=True)
    table = pickle.loads((CACHE / "table.pkl").read_bytes())
    if sys.argv[1] == "mlcore":
        import mlcore

        mlcore.load(CACHE / "model.mlc").predict_proba(table)
    else:
        pickle.loads((CACHE / "model.pkl").read_bytes()).predict_proba(table)
    # not getrusage: a child's ru_maxrss starts at its parent's
    status = Path("/proc/self/status").read_text()
    print(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024)


if __name__ == "__main__":
    main()
