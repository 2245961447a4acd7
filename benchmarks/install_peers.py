"""Makes an environment under build/bench-env for each file in benchmarks/peers; one that fails is noted, not fatal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parent / "build" / "bench-env"


def install(requirements: Path) -> str:
    """Create or renew one environment; what became of it."""
    folder = ENVIRONMENTS / requirements.stem
    installed, failed = folder / "installed", folder / "failed"
    pins = requirements.read_text()
    if installed.exists() and installed.read_text() == pins:
        return "up to date"
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    pip = [folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        failed.write_text(done.stderr)
        return f"cannot be installed; see {failed}"
    installed.write_text(pins)
    return "installed"


def main() -> None:
    """Install all of them."""
    for requirements in sorted((HERE / "peers").glob("*.txt")):
        print(f"{requirements.stem}: {install(requirements)}", flush=True)


if __name__ == "__main__":
    main()
