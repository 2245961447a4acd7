"""Errors of mlcore. Every one names what was expected, what was found and where."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ArtifactError",
    "ArtifactIOError",
    "DeviceError",
    "InputError",
    "MlcoreError",
    "ParityError",
    "Problem",
    "ProgramError",
    "UnsupportedError",
]


class MlcoreError(Exception):
    """Base class of every error that mlcore raises on purpose."""

    code = "mlcore"


class InputError(MlcoreError, ValueError):
    """A table or row does not fit the model's schema, or a step refuses a value."""

    code = "input"


class ArtifactError(MlcoreError, ValueError):
    """A file is no artifact, is damaged, or comes from a newer version."""

    code = "artifact"


class ArtifactIOError(MlcoreError, OSError):
    """The operating system refused to read or write an artifact; an old file is left as it was."""

    code = "io"


class DeviceError(MlcoreError, RuntimeError):
    """A GPU, its driver or mlcore's library for it is not there, cannot run the model, or failed."""

    code = "device"


class ProgramError(MlcoreError, RuntimeError):
    """A front end built a graph that the core refuses: a bug in mlcore, please report it."""

    code = "program"


class ParityError(MlcoreError, AssertionError):
    """The compiled model and the original disagree on at least one row; nothing was returned."""

    code = "parity"


@dataclass(frozen=True)
class Problem:
    """One reason why a pipeline cannot be compiled.

    Attributes
    ----------
    path : str
        Where the step sits, such as ``"pipeline / columntransformer / num"``.
    what : str
        The class, and the reason.
    parameter, column, alternative : str or None
        The constructor parameter or column concerned, and what to use instead.
    """

    path: str
    what: str
    parameter: str | None = None
    column: str | None = None
    alternative: str | None = None

    def __str__(self) -> str:
        text = f"{self.path}: {self.what}"
        if self.parameter is not None:
            text += f" (parameter {self.parameter})"
        if self.column is not None:
            text += f" (column {self.column!r})"
        if self.alternative is not None:
            text += f"; instead: {self.alternative}"
        return text


class UnsupportedError(MlcoreError, TypeError):
    """The pipeline holds something that mlcore cannot reproduce exactly. Lists all problems at once.

    Attributes
    ----------
    problems : list of Problem
    """

    code = "unsupported"

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = list(problems)
        count = len(self.problems)
        head = f"cannot compile: {count} problem{'s' if count != 1 else ''}"
        super().__init__(
            "\n".join([head, *(f"  {index}. {problem}" for index, problem in enumerate(self.problems, 1))])
        )
