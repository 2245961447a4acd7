"""A base image where no registry can be reached: packages of the Debian that runs, as they are installed."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from tools import run

# what the build stage of deploy/Dockerfile calls, and the C++ library that it takes along
_PACKAGES = ("bash", "coreutils", "dash", "findutils", "grep", "libc-bin", "libstdc++6", "python3")
_STATUS = "${db:Status-Status};${Pre-Depends},${Depends}"


def _with_dependencies(names: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        status, depends = run(["dpkg-query", "--show", "--showformat", _STATUS, name]).split(";")
        assert status == "installed", (
            f"expected the Debian package {name} but it is {status}; run tests/system/install.sh"
        )
        # the first of alternatives; virtual packages have no files
        first = (re.match(r"[\w.+-]+", group.strip()) for group in depends.split(","))
        todo += [one[0] for one in first if one and one[0] != "awk"]
    return found


def _is_wanted(path: Path) -> bool:
    if path.is_dir() and not path.is_symlink():
        return False
    documentation = path.is_relative_to("/usr/share") and path.name != "copyright" and not path.is_symlink()
    return os.path.lexists(path) and not documentation


def copy_local_base(folder: Path) -> None:
    """Lay the packages' files into a folder that can become an image."""
    for name in ("bin", "lib", "lib64", "sbin"):
        (folder / "usr" / name).mkdir(parents=True)
        (folder / name).symlink_to(f"usr/{name}")
    for line in sorted(set(run(["dpkg-query", "--listfiles", *sorted(_with_dependencies(_PACKAGES))]).splitlines())):
        path = Path(line)
        if not line.startswith("/") or not _is_wanted(path):
            continue
        # packages name /lib/..., which is a link to /usr/lib
        target = folder / path.parent.resolve().relative_to("/") / path.name
        if os.path.lexists(target) or line in ("/bin", "/lib", "/lib64", "/sbin"):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target, follow_symlinks=False)
