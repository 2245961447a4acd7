"""Writes the pages that follow from the code: the supported matrix, the command line, and the kept benchmark runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from mlcore.cli import build_parser
from mlcore.frontends import load_all
from mlcore.frontends.registry import Entry, entries
from mlcore.frontends.versions import SUPPORTED

os.environ["COLUMNS"] = "100"  # argparse wraps to the terminal
DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "benchmarks"))
NOTE = "<!-- written by docs/generate.py; edit the code instead -->\n\n"


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|").replace("\n", " ")


def _conditions(entry: Entry) -> str:
    """Parameters that are refused for some values, with the sentence of the entry."""
    plain = {"honoured", "training"}
    return "; ".join(f"`{name}`: {text}" for name, text in entry.parameters.items() if text not in plain)


def supported() -> str:
    """The supported matrix, from the registry."""
    load_all()
    lines = [
        NOTE + "# Supported matrix",
        "",
        "Every constructor parameter and fitted attribute of these classes is honoured, or refused by name as the",
        "table says; a test compares the registry with the classes' signatures, so that a new library version cannot",
        "add one silently. Anything else is an `UnsupportedError`.",
        "",
        "| Library | Supported versions |",
        "|---|---|",
        *(f"| {name} | >= {first}, < {end} |" for name, first, end in SUPPORTED.values()),
        "",
        f"{len(entries())} classes. CI tests the versions pinned in `requirements/ci.txt`.",
    ]
    for kind, title in (("model", "Models"), ("meta", "Estimators that hold others"), ("transform", "Transforms")):
        lines += [
            "",
            f"## {title}",
            "",
            "| Class | Bit-exact, except | Notes | Parameters with conditions |",
            "|---|---|---|---|",
        ]
        for entry in entries():
            if entry.kind == kind:
                exact = _cell(entry.tolerance) or "all"
                lines.append(f"| `{entry.cls}` | {exact} | {_cell(entry.notes)} | {_cell(_conditions(entry))} |")
    return "\n".join(lines) + "\n"


def _commands(parser: argparse.ArgumentParser, prefix: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that does something; one that only holds others is left out."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                inner = list(_commands(command, f"{prefix}{name} "))
                yield from inner or [(prefix + name, command)]


def command_line() -> str:
    """The CLI reference, from the parser itself."""
    parser = build_parser()
    lines = [NOTE + "# Command line", "", "```text", parser.format_help().rstrip(), "```"]
    for name, command in _commands(parser):
        lines += ["", f"## mlcore {name}", "", "```text", command.format_help().rstrip(), "```"]
    lines += [
        "",
        "Exit codes: 0 done, 1 something to complain about (a problem, a difference, an error), 2 wrong usage.",
    ]
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Text by path inside docs/."""
    from gpu_page import page as gpu
    from page import pages as benchmarks
    from serve_page import page as serving
    from triton_page import page as triton

    kept = benchmarks() | {"serving-measured.md": NOTE + serving(), "triton-measured.md": NOTE + triton()}
    kept["devices-measured.md"] = NOTE + gpu()
    kept["benchmarks.md"] = NOTE + kept["benchmarks.md"]
    return {"supported.md": supported(), "cli.md": command_line()} | kept


def main() -> int:
    """Write the pages; with ``--check``, only say whether they are up to date."""
    stale = []
    for name, text in pages().items():
        path = DOCS / name
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text)
    if "--check" in sys.argv and stale:
        print(f"stale: {', '.join(stale)}; run: make docs")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
