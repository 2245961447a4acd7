"""Compares two benchmark runs and fails on a regression.

Compared are ratios of mlcore to the original inside each run, so that a slower machine or a busy one is no regression.
A run is what pytest-benchmark wrote (out/bench.json), or out/figures.json as kept in results/.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from run import results


def ratios(path: Path) -> dict[str, float]:
    """Mlcore's time as a share of the original's, per pipeline and batch size, or per figure."""
    data = json.loads(path.read_text())
    if "benchmarks" not in data:
        figures = [one for one in data.get("figures", ()) if "original" in one["peers"]]
        times = {(one["case"], one["rows"], one["engine"]): one["median"] for one in data.get("pipelines", ())}
        return {f"{one['work']}: {one['what']}": one["mlcore"] / one["peers"]["original"] for one in figures} | {
            f"{case}, {rows} rows": seconds / times[case, rows, "original"]
            for (case, rows, engine), seconds in times.items()
            if engine == "mlcore" and (case, rows, "original") in times
        }
    found = results(path)["predict"]
    return {
        f"{case}, {rows} rows": one["median"] / found[case, rows, "original"]["median"]
        for (case, rows, engine), one in found.items()
        if engine == "mlcore" and (case, rows, "original") in found
    }


def main() -> int:
    """Print the comparison; exit code 1 if a ratio grew beyond the band."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--band", type=float, default=0.25, help="allowed growth of a ratio (default 0.25: 25 percent)")
    options = parser.parse_args()
    old, new = ratios(options.old), ratios(options.new)
    if not old.keys() & new.keys():
        print("nothing to compare: the two files share no benchmark")
        return 1
    worse = 0
    for name in sorted(old.keys() & new.keys()):
        change = new[name] / old[name] - 1.0
        slower = change > options.band
        worse += slower
        print(f"{'SLOWER' if slower else 'ok':<7} {change:+7.1%}  {name}")
    for name in sorted(old.keys() - new.keys()):
        print(f"GONE             {name}")
        worse += 1
    print(f"{worse} regression{'s' if worse != 1 else ''} beyond {options.band:.0%}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
