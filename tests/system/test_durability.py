"""A save is stopped at every call it makes into the system: killed before and after it, in the middle of a write,
with every error of a failing disk. The target is the old file or the new one, whole, every time.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mlcore import _core
from tools import ROOT, run

HERE = Path(__file__).resolve().parent
CORPUS = sorted((ROOT / "tests" / "fuzz" / "corpus").glob("*.mlc"), key=lambda path: path.stat().st_size)
OLD, NEW = CORPUS[0], CORPUS[-1]
NONE = 1_000_000  # more calls than a save makes


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", HERE / "faults.c", "-o", library, "-ldl"])
    return library


class Disk:
    """A folder with the old file, and saves of the new one over it."""

    def __init__(self, folder: Path, faults: Path) -> None:
        self.target = folder / "model.mlc"
        self.target.write_bytes(OLD.read_bytes())
        self.faults = faults

    def save(self, n: int, mode: str, error: int = 0) -> tuple[int, str]:
        """Give the exit code (negative: the signal) and what was printed."""
        done = subprocess.run(
            [sys.executable, str(HERE / "saver.py"), str(self.target), str(NEW), str(n), mode, str(error)],
            env={**os.environ, "LD_PRELOAD": str(self.faults)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode, done.stdout.strip()

    def others(self) -> list[str]:
        return sorted(entry.name for entry in self.target.parent.iterdir() if entry != self.target)

    def content(self) -> bytes:
        found = self.target.read_bytes()
        assert found in (OLD.read_bytes(), NEW.read_bytes())
        assert _core.Model.load(str(self.target)).to_bytes() == found
        return found


@pytest.fixture
def disk(tmp_path: Path, faults: Path) -> Disk:
    return Disk(tmp_path, faults)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory, faults: Path) -> int:
    """How many calls an undisturbed save makes."""
    disk = Disk(tmp_path_factory.mktemp("calls"), faults)
    code, said = disk.save(NONE, "fail")
    assert code == 0
    assert disk.content() == NEW.read_bytes()
    assert disk.others() == []
    count, verdict = said.split()
    assert verdict == "saved"
    assert int(count) >= 7  # open, chmod, write, sync, close, rename, and the directory's sync
    return int(count)


@pytest.mark.parametrize("mode", ["kill_before", "kill_after", "kill_half_written"])
def test_killed_at_every_call(mode: str, disk: Disk, calls: int) -> None:
    seen = []
    for n in range(1, calls + 1):
        disk.target.write_bytes(OLD.read_bytes())
        code, _ = disk.save(n, mode)
        assert code == -signal.SIGKILL
        seen.append(disk.content() == NEW.read_bytes())
    # old up to the rename, new from it on
    assert seen == sorted(seen)
    assert seen[0] is False
    assert seen[-1] is True


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
def test_every_call_fails(error: int, disk: Disk, calls: int) -> None:
    refusals = 0
    for n in range(1, calls + 1):
        disk.target.write_bytes(OLD.read_bytes())
        code, said = disk.save(n, "fail", error)
        assert code == 0
        if said.endswith("saved"):
            # only what comes after the rename may be forgiven
            assert disk.content() == NEW.read_bytes()
        else:
            refusals += 1
            assert f"cannot write '{disk.target}': {os.strerror(error)}" in said
        assert disk.content() in (OLD.read_bytes(), NEW.read_bytes())
        assert disk.others() == []
    assert refusals >= 6


@pytest.mark.parametrize("mode", ["interrupt", "write_short"])
def test_interruptions_and_short_writes_are_continued(mode: str, disk: Disk, calls: int) -> None:
    for n in range(1, calls + 1):
        disk.target.write_bytes(OLD.read_bytes())
        code, said = disk.save(n, mode)
        assert code == 0
        if said.endswith("saved"):
            assert disk.content() == NEW.read_bytes()
        else:
            assert mode == "interrupt"  # of a call that no system interrupts, such as rename
            assert disk.content() == OLD.read_bytes()
        assert disk.others() == []
