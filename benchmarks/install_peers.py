"""Makes an environment under build/bench-env for each file in benchmarks/peers; one that fails is noted, not fatal.

Also for the files that are named, where one that fails is an error.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parent / "build" / "bench-env"


def install(requirements: Path, environments: Path = ENVIRONMENTS) -> str:
    """Create or renew one environment; what became of it."""
    folder = environments.resolve() / requirements.stem
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


def main() -> int:
    """Install all of them, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requirements", type=Path, nargs="*", help="files of requirements (default: all peers)")
    parser.add_argument("--into", type=Path, default=ENVIRONMENTS, help="the folder of the environments")
    options = parser.parse_args()
    missing = 0
    for requirements in options.requirements or sorted((HERE / "peers").glob("*.txt")):
        outcome = install(requirements, options.into)
        missing += outcome.startswith("cannot")
        print(f"{requirements.stem}: {outcome}", flush=True)
    return 1 if options.requirements and missing else 0


if __name__ == "__main__":
    sys.exit(main())
