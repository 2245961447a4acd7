"""A model repository for the Triton server: configuration, version folder, labels, and an ensemble of two models."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlcore import _core
from mlcore.errors import InputError
from mlcore.model import Model

__all__ = ["write_repository"]

MAX_BATCH_SIZE = 65_536
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def write_repository(
    model: Model,
    repository: str | os.PathLike[str],
    name: str,
    *,
    version: int = 1,
    then: tuple[str, Model] | None = None,
) -> list[Path]:
    """Write a model into a Triton model repository; a folder appears there whole or not at all.

    Parameters
    ----------
    model : Model
    repository : path-like
        The folder that ``tritonserver --model-repository`` is given; made if it is not there.
    name : str
        What clients call the model. Letters, digits, ``.``, ``_`` and ``-``.
    version : int, default=1
        A new version goes beside those that are there, when the configuration is the same.
    then : (str, Model), optional
        A second model and its name, which takes the first one's ``transform`` as its matrix ``X``: it is written too,
        and an ensemble ``<name>_ensemble`` that runs both.

    Returns
    -------
    list of Path
        The folders that were written.

    Raises
    ------
    InputError
        If a name is no model's name, a model or version of it is there already, or the second model does not take
        what the first one gives.

    Examples
    --------
    >>> import mlcore, tempfile
    >>> from mlcore.export import write_repository
    >>> from sklearn.preprocessing import StandardScaler
    >>> model = mlcore.compile(StandardScaler().fit([[1.0], [3.0]]))
    >>> (written,) = write_repository(model, tempfile.mkdtemp(), "scaler")
    >>> sorted(path.name for path in written.iterdir())
    ['1', 'config.pbtxt']
    """
    target = Path(repository)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise InputError(f"version: expected an integer from 1 on but found {version!r}")
    parts = [_part(name, model, version)]
    if then is not None:
        second, second_model = then
        parts.append(_part(second, second_model, version, matrix=True))
        parts.append(_ensemble(f"{name}_ensemble", parts[0], parts[1], model.core, version))
    names = [part.name for part in parts]
    for one in names:
        if not _NAME.fullmatch(one):
            raise InputError(f"expected a model name of letters, digits, '.', '_' and '-' but found {one!r}")
        if names.count(one) > 1:
            raise InputError(f"expected models of different names but found {one!r} twice")
    target.mkdir(parents=True, exist_ok=True)
    return _publish(target, parts)


@dataclass(frozen=True)
class _Part:
    """What goes into the folder of one model, and into that of its version."""

    name: str
    version: int
    files: dict[str, bytes]
    version_files: dict[str, bytes]
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]


def _part(name: str, model: Model, version: int, *, matrix: bool = False) -> _Part:
    core = model.core
    inputs, outputs = _inputs(core, matrix), core.tensors["outputs"]
    labels = _labels(core, outputs)
    files = {"config.pbtxt": _config(name, core, inputs, outputs, labels).encode()}
    files |= {file: text.encode() for file, text in labels.items()}
    return _Part(name, version, files, {"model.mlc": model.to_bytes()}, inputs, outputs)


def _inputs(core: _core.Model, matrix: bool) -> list[dict[str, Any]]:
    inputs = core.tensors["inputs"]
    if not matrix or inputs[0]["matrix"]:
        return inputs
    found = core.tensors["matrix"]
    if not found or found[0]["type"] not in ("FP32", "FP64"):
        types = sorted({column["type"] for column in core.schema})
        raise InputError(
            "the second model: expected columns of one type of floats, which one matrix holds, "
            f"but found {', '.join(types)}"
        )
    return found


def _labels(core: _core.Model, outputs: Sequence[dict[str, Any]]) -> dict[str, str]:
    """File of labels by output, for those whose values are classes: what Triton's classification extension shows."""
    found = {}
    for spec, output in zip(core.outputs, outputs, strict=True):
        names = spec["names"]
        if spec["method"] == "predict_proba" and names and not any("\n" in one for one in names):
            found[f"{output['name']}_labels.txt"] = "".join(f"{one}\n" for one in names)
    return found


def _text(value: str) -> str:
    """Quote text for a protobuf text file."""
    return '"' + "".join(_escaped(byte) for byte in value.encode()) + '"'


def _escaped(byte: int) -> str:
    return chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\{byte:03o}"


def _tensor(name: str, type: str, dims: Sequence[int], more: str = "") -> str:
    kind = "TYPE_STRING" if type == "BYTES" else f"TYPE_{type}"
    return f"  {{ name: {_text(name)} data_type: {kind} dims: [ {', '.join(map(str, dims))} ]{more} }}"


def _comment(text: str) -> str:
    """Text that may come from a column's name as one line of a comment."""
    return "".join(one if one.isprintable() else "?" for one in text)


def _meaning(core: _core.Model, one: dict[str, Any]) -> str:
    if one["matrix"]:
        return f"all {one['width']} columns, in the model's order"
    column = core.schema[one["column"]]
    kind = str(column["type"])
    if kind.startswith("timestamp"):
        kind += ", ticks since 1970"
    elif kind == "date32":
        kind += ", days since 1970"
    elif kind == "date64":
        kind += ", milliseconds since 1970"
    return f"{kind}{'' if column['nullable'] else ', never missing'}"


def _block(title: str, entries: Sequence[tuple[str, str]]) -> str:
    """A list of tensors; a comment goes above what it is about, since a comma must follow the entry."""
    lines = []
    for index, (entry, comment) in enumerate(entries):
        lines += [f"  # {_comment(comment)}"] * bool(comment)
        lines.append(entry + ("," if index + 1 < len(entries) else ""))
    return f"{title} [\n" + "\n".join(lines) + "\n]\n"


def _config(
    name: str, core: _core.Model, inputs: Sequence[dict[str, Any]], outputs: Sequence[dict[str, Any]], labels: Any
) -> str:
    taken = [(_tensor(one["name"], one["type"], [one["width"]]), _meaning(core, one)) for one in inputs]
    valid = [
        (_tensor(one["valid"], "BOOL", [one["width"]], " optional: true"), "false: the value is missing" * (not index))
        for index, one in enumerate(one for one in inputs if one["valid"])
    ]
    given = []
    for spec, output in zip(core.outputs, outputs, strict=True):
        file = f"{output['name']}_labels.txt"
        more = f" label_filename: {_text(file)}" if file in labels else ""
        what = f"{spec['method']}" + (f" of target {spec['index']}" if spec["index"] >= 0 else "")
        given.append((_tensor(output["name"], output["type"], [output["width"]], more), what))
    return f"""\
# Written by `mlcore export triton`. All but the backend may be left out: the server asks the model for the rest.
# What is stated here is held against the model when it is loaded.
name: {_text(name)}
backend: "mlcore"
default_model_filename: "model.mlc"

# The most rows of a request, and of requests that are run together. Tensors are [rows, 1] for a column and
# [rows, values] for what has several values.
max_batch_size: {MAX_BATCH_SIZE}

# Requests that wait are run as one table and answered each for itself. A delay waits for more of them:
#   dynamic_batching {{ max_queue_delay_microseconds: 100 }}
dynamic_batching {{ }}

{_block("input", taken + valid)}
# A request is answered with the outputs that it asks for; what nobody asks for is not computed.
{_block("output", given)}
# More instances run more batches side by side; each takes the threads below.
instance_group [ {{ kind: KIND_CPU count: 1 }} ]

# parameters {{ key: "threads" value {{ string_value: "1" }} }}
# parameters {{ key: "outputs" value {{ string_value: "{outputs[0]["name"]}" }} }}  # where `output` is left out
# What is missing besides a false in `__valid`: "nan" (NaN and NaT), "empty_string" (an empty text too), "refuse".
# parameters {{ key: "null_policy" value {{ string_value: "nan" }} }}
"""


def _ensemble(name: str, first: _Part, second: _Part, core: _core.Model, version: int) -> _Part:
    """Two models in a row: the features of the first are the matrix of the second."""
    features = [one for one in first.outputs if one["name"] == "transform"]
    if not features:
        raise InputError(f"{first.name}: expected a model that gives its features by transform but found none")
    (given,), (taken,) = features, second.inputs
    if (given["type"], given["width"]) != (taken["type"], taken["width"]):
        raise InputError(
            f"{second.name}: expected columns for the {given['width']} features of {first.name} ({given['type']}) "
            f"but found {taken['width']} ({taken['type']})"
        )
    inputs = first.inputs
    between = "features"
    while between in {one["name"] for one in [*inputs, *second.outputs]}:
        between += "_"
    steps = [
        (first, {one["name"]: one["name"] for one in inputs}, {"transform": between}),
        (second, {taken["name"]: between}, {one["name"]: one["name"] for one in second.outputs}),
    ]
    lines = []
    for part, reads, writes in steps:
        maps = [f"      input_map {{ key: {_text(key)} value: {_text(value)} }}" for key, value in reads.items()]
        maps += [f"      output_map {{ key: {_text(key)} value: {_text(value)} }}" for key, value in writes.items()]
        lines.append("    {\n      model_name: " + _text(part.name) + "\n      model_version: -1\n" + "\n".join(maps))
    steps_text = "\n    },\n".join(lines) + "\n    }"
    text = f"""\
# Written by `mlcore export triton`. The features of {_comment(first.name)} are the input of {_comment(second.name)};
# a model of any other backend can stand in its place.
name: {_text(name)}
platform: "ensemble"
max_batch_size: {MAX_BATCH_SIZE}

{_block("input", [(_tensor(one["name"], one["type"], [one["width"]]), _meaning(core, one)) for one in inputs])}
{_block("output", [(_tensor(one["name"], one["type"], [one["width"]]), "") for one in second.outputs])}
ensemble_scheduling {{
  step [
{steps_text}
  ]
}}
"""
    return _Part(name, version, {"config.pbtxt": text.encode()}, {}, inputs, second.outputs)


def _place(repository: Path, part: _Part) -> tuple[Path, bool]:
    """Where a part goes: the model's folder or, where that is there with the same files, its version's."""
    folder = repository / part.name
    if not folder.exists():
        return folder, False
    for file, data in part.files.items():
        found = folder / file
        if not found.is_file() or found.read_bytes() != data:
            raise InputError(
                f"{folder}: expected no model, or one with the {file} that this one has, but found another; "
                "choose another name, or remove it"
            )
    version = folder / str(part.version)
    if version.exists():
        raise InputError(f"{version}: expected no version {part.version} of {part.name!r} but found one")
    return version, True


def _publish(repository: Path, parts: Sequence[_Part]) -> list[Path]:
    """Write everything beside its place, then rename; what was renamed is removed if the rest cannot be."""
    moves = [(part, *_place(repository, part)) for part in parts]
    written: list[Path] = []
    stage = Path(tempfile.mkdtemp(prefix=".mlcore-", dir=repository))
    try:
        for part, _, is_version in moves:
            folder = stage / part.name
            files = {} if is_version else part.files
            inner = folder if is_version else folder / str(part.version)
            inner.mkdir(parents=True)
            for path, data in [(folder / file, data) for file, data in files.items()] + [
                (inner / file, data) for file, data in part.version_files.items()
            ]:
                path.write_bytes(data)
        for part, target, _ in moves:
            (stage / part.name).rename(target)
            written.append(target)
    except BaseException:
        for target in written:
            shutil.rmtree(target, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return written
