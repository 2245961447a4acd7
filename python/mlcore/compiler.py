"""compile and check: from a fitted pipeline to a proven model."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlcore import __name__ as _package
from mlcore import _core
from mlcore.containers import batches, infer_schema
from mlcore.errors import InputError, Problem, UnsupportedError
from mlcore.frontends import load_all
from mlcore.frontends._names import feature_names
from mlcore.frontends.context import Context, Frame, Output, Outputs, Part, Refused
from mlcore.frontends.registry import entry_for
from mlcore.frontends.versions import check_versions, installed_versions
from mlcore.model import Model

__all__ = ["check", "compile"]

_METHOD_ORDER = ("predict", "predict_proba", "decision_function", "score_samples", "leaf", "transform")


def compile(
    estimator: Any,
    sample: object = None,
    *,
    strict: bool = False,
    keep_sample: bool = False,
    keep_ranges: bool = False,
    leaf: bool = False,
    provenance: Mapping[str, str] | None = None,
) -> Model:
    """Compile a fitted pipeline, and prove that it gives the original's numbers.

    Parameters
    ----------
    estimator : fitted estimator
        A scikit-learn pipeline, a bare estimator or transformer, an XGBoost or LightGBM estimator or ``Booster``.
        See the supported matrix.
    sample : table, optional
        Rows as the original takes them, for example the validation set. Fixes the type of every input column and
        joins the rows that parity is proven on. Without it, types follow from what the steps learned (numbers are
        float64) and the proof rests on generated rows.
    strict : bool, default=False
        Refuse if any output is only within a stated tolerance of the original rather than bit-exact.
    keep_sample : bool, default=False
        Store the first 64 rows of ``sample`` as golden rows inside the artifact. Without it only generated rows
        are stored, and nothing of the sample.
    keep_ranges : bool, default=False
        Store the least and the largest finite value of every numeric column of ``sample`` in the artifact, so that
        the server can count numbers outside. Needs a ``sample``.
    leaf : bool, default=False
        Also give the output ``leaf`` (`Model.leaf`). Needs trees of scikit-learn that have ``apply``, XGBoost's or
        LightGBM's at the end of the pipeline.
    provenance : mapping of str to str, optional
        Facts to carry in the artifact, such as a digest of the training data.

    Returns
    -------
    Model
        With its `Model.parity` report.

    Raises
    ------
    UnsupportedError
        Lists everything that cannot be reproduced: step path, parameter, column, alternative.
    ParityError
        If a single checked row differs; nothing is returned.
    InputError
        If the estimator is not fitted, the original itself fails on the sample, or ``keep_ranges`` has none.

    Examples
    --------
    >>> import mlcore, numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> X = np.array([[1.0], [2.0], [3.0]])
    >>> model = mlcore.compile(make_pipeline(StandardScaler(), DecisionTreeRegressor()).fit(X, [1.0, 2.0, 3.0]), X)
    >>> model.predict([{"x0": 2.0}]).tolist()
    [2.0]
    """
    from mlcore import parity

    started = time.perf_counter()
    ctx, outputs = _fill(estimator, sample, leaf=leaf)
    facts = _provenance(ctx, estimator, provenance)
    if keep_ranges:
        facts["ranges"] = json.dumps(_ranges(sample, input_names(estimator)))
    core = _finish(ctx, outputs, facts)
    if strict:
        _refuse_tolerances(core)
    model, report = parity.prove(estimator, core, sample, keep_sample=keep_sample)
    report.seconds = time.perf_counter() - started
    return Model(model, report)


def check(estimator: Any, sample: object = None) -> list[Problem]:
    """Everything that keeps a fitted pipeline from compiling, in one pass; an empty list means it compiles.

    Parameters
    ----------
    estimator : fitted estimator
    sample : table, optional
        As in `compile`.

    Returns
    -------
    list of Problem

    Examples
    --------
    >>> import mlcore
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> problems = mlcore.check(KNeighborsClassifier().fit([[0.0], [1.0]], [0, 1]))
    >>> "KNeighborsClassifier is not supported" in str(problems[0])
    True
    """
    try:
        _fill(estimator, sample)
    except UnsupportedError as error:
        return error.problems
    return []


def compile_core(estimator: Any, sample: object = None, *, leaf: bool = False) -> _core.Model:
    """The program of ``estimator`` alone, unproven; `mlcore.parity` uses it to probe a pipeline's model."""
    ctx, outputs = _fill(estimator, sample, leaf=leaf)
    return _finish(ctx, outputs, {})


def _fill(estimator: Any, sample: object, *, leaf: bool = False) -> tuple[Context, Outputs]:
    load_all()
    _expect_fitted(estimator)
    ctx = Context(leaf=leaf)
    try:
        frame = _input_frame(ctx, estimator, sample)
    except Refused as refused:
        raise UnsupportedError([refused.problem]) from None
    result = ctx.compile(estimator, frame)
    ctx.problems += check_versions(ctx.libraries)
    if ctx.problems:
        raise UnsupportedError(ctx.problems)
    if isinstance(result, Frame):
        try:
            result = {"transform": result.output(feature_names(estimator, result.width))}
        except Refused as refused:
            raise UnsupportedError([refused.problem]) from None
    if leaf and "leaf" not in result:
        what = f"expected trees that tell the leaf of a row but found {type(_last(estimator)).__name__}"
        raise UnsupportedError([Problem("model", what, "leaf", alternative="leave leaf=False")])
    return ctx, result


def _last(estimator: Any) -> Any:
    """The last step of a pipeline; anything else itself."""
    steps = getattr(estimator, "steps", None)
    return _last(steps[-1][1]) if steps else estimator


def _expect_fitted(estimator: Any, path: str = "") -> None:
    if isinstance(estimator, type):
        raise InputError(f"expected a fitted estimator but found the class {estimator.__qualname__}")
    where = f"{path}: " if path else ""
    if not hasattr(estimator, "fit") and not hasattr(estimator, "predict"):
        raise InputError(f"{where}expected a fitted estimator but found {type(estimator).__name__}")
    entry = entry_for(estimator)
    if entry is None:
        return
    # steps first: a pipeline says that it is fitted when its last step is
    for name, step in entry.steps(estimator) if entry.steps is not None else []:
        _expect_fitted(step, f"{path} / {name}" if path else name)
    if not hasattr(estimator, "fit"):
        if entry.input_width is not None:
            entry.input_width(estimator)  # a bare booster says itself that it is not trained
        return
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise InputError(
            f"{where}expected a fitted {type(estimator).__name__} but it is not fitted; call fit first ({error})"
        ) from error


def input_names(estimator: Any) -> list[str] | None:
    """Column names that the original was fitted on; None for bare arrays."""
    entry = entry_for(estimator)
    if entry is not None and entry.input_names is not None:
        return entry.input_names(estimator)
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else [str(name) for name in names]


def _input_frame(ctx: Context, estimator: Any, sample: object) -> Frame:
    names = input_names(estimator)
    entry = entry_for(estimator)
    types: dict[str, tuple[str | None, bool]] = {}
    if sample is not None:
        found = infer_schema(sample)
        gaps = _integers_with_gaps(sample, found)
        found = [(name, "float64" if name in gaps else logical, nullable) for name, logical, nullable in found]
        if names is not None and [name for name, *_ in found] != names:
            by_position = all(name == f"x{index}" for index, (name, *_) in enumerate(found)) and len(found) == len(
                names
            )
            # LightGBM writes "my amount" down as "my_amount"; the caller's name is the one that counts
            if [name.replace(" ", "_") for name, *_ in found] == names:
                names = [name for name, *_ in found]
            elif by_position:
                found = [(name, kind, nullable) for name, (_, kind, nullable) in zip(names, found, strict=True)]
            missing = [name for name in names if name not in {column for column, *_ in found}]
            extra = [column for column, *_ in found if column not in names]
            if (missing or extra) and not by_position:
                raise InputError(
                    f"sample: expected the columns the estimator was fitted on; missing {missing}, extra {extra}"
                )
        types = {name: (logical, nullable) for name, logical, nullable in found}
        columns = names if names is not None else [name for name, *_ in found]
    elif names is not None:
        columns = names
    else:
        width = entry.input_width(estimator) if entry is not None and entry.input_width else None
        width = width if width is not None else getattr(estimator, "n_features_in_", None)
        if width is None:
            raise InputError(
                f"cannot tell how many columns {type(estimator).__name__} takes; pass `sample=` with a few rows"
            )
        columns = [f"x{index}" for index in range(int(width))]
    ctx.expect_text(columns, "a column name")
    parts = []
    for name in columns:
        logical, _ = types.get(name, (None, True))
        column = ctx.add_column(name, logical)
        ctx.declare(column)
        parts.append(Part(column=column))
    return Frame(ctx, parts, columns if names is not None else None)


def _integers_with_gaps(sample: object, found: Sequence[tuple[str, str | None, bool]]) -> set[str]:
    """Integer columns with a missing value: NumPy and pandas hand them to the original as float64.

    A float64 column of the schema takes integers too, and checks that none loses a digit.
    """
    integers = {name: kind for name, kind, _ in found if kind is not None and kind.startswith(("int", "uint"))}
    if not integers:
        return set()
    schema = [
        {"name": name, "type": logical or "float64", "nullable": True, "distinguishes_missing": False}
        for name, logical, _ in found
    ]
    pieces = batches(sample, schema)
    return {
        name for name, kind in integers.items() for piece in pieces if np.isnan(piece.decode(name, kind, "f64")).any()
    }


def _ranges(sample: object, names: list[str] | None) -> dict[str, tuple[float, float]]:
    """Least and largest finite value of the numeric columns, by the names of the model's schema."""
    if sample is None:
        raise InputError("keep_ranges: expected a sample but found none")
    found = infer_schema(sample)
    schema = [
        {"name": name, "type": logical or "float64", "nullable": True, "distinguishes_missing": False}
        for name, logical, _ in found
    ]
    if names is not None and not set(names) & {name for name, *_ in found}:
        known = dict(zip((name for name, *_ in found), names, strict=False))  # by position
    else:
        known = {name: name for name, *_ in found}
    values: dict[str, list[float]] = {}
    for piece in batches(sample, schema):
        for name, logical, _ in found:
            if logical is None or not logical.startswith(("int", "uint", "float")):
                continue
            column = piece.decode(name, logical, "f64")
            column = column[np.isfinite(column)]
            if column.size:
                values.setdefault(known[name], []).extend((float(column.min()), float(column.max())))
    return {name: (min(ends), max(ends)) for name, ends in values.items()}


def _finish(ctx: Context, outputs: Outputs, provenance: dict[str, str]) -> _core.Model:
    for column in ctx.columns:
        ctx.declare(column)
    known = [method for method in _METHOD_ORDER if method in outputs]
    for method in known + [method for method in outputs if method not in _METHOD_ORDER]:
        arrays = outputs[method]
        for index, output in enumerate(arrays if isinstance(arrays, list) else [arrays]):
            # features beside a model are guarded already, by the steps before the model alone
            beside = method == "transform" and len(known) > 1
            guarded = output.value if beside else ctx.guard(output.value, ctx.refusing)
            ctx.builder.add_output(
                method,
                index if isinstance(arrays, list) else -1,
                guarded.id,
                str(np.dtype(output.dtype).str if output.dtype.startswith("<U") else output.dtype),
                output.vector,
                [str(name) for name in output.names or []],
                _labels(output),
            )
    ctx.builder.set_provenance(provenance)
    return ctx.builder.finish()


def _labels(output: Output) -> Any:
    if output.classes is None:
        return None
    classes = np.asarray(output.classes)
    if classes.dtype.kind in "OU":
        values = classes.tolist()
        if all(isinstance(value, str) for value in values):
            try:
                "".join(values).encode()
            except UnicodeEncodeError:
                raise UnsupportedError([Problem("model", "a class label holds a lone surrogate")]) from None
            return values
        classes = np.asarray(values)
    if classes.dtype.kind == "b":
        return classes.astype(np.uint8)
    if classes.dtype.kind in "iu":
        return classes.astype(np.int64)
    if classes.dtype.kind == "f":
        return classes.astype(np.float64)
    raise UnsupportedError([Problem("model", f"class labels of dtype {output.classes.dtype} are not supported")])


def _refuse_tolerances(core: _core.Model) -> None:
    problems = [
        Problem(node["path"], f"the op '{node['op']}' is within a tolerance of the original, not bit-exact", "strict")
        for node in core.nodes
        if not node["exact"]
    ]
    if problems:
        raise UnsupportedError(list(dict.fromkeys(problems)))


def _provenance(ctx: Context, estimator: Any, extra: Mapping[str, str] | None) -> dict[str, str]:
    facts = {
        "created_by": f"{_package} {_core.__version__}",
        "estimator": f"{type(estimator).__module__}.{type(estimator).__qualname__}",
        "parameters": _parameters(estimator),
    }
    facts.update({f"library.{name}": version for name, version in installed_versions(ctx.libraries).items()})
    for key, value in (extra or {}).items():
        facts[f"user.{key}"] = str(value)
    return facts


def _parameters(estimator: Any) -> str:
    """Constructor parameters as JSON text; what has no stable text is given by its type."""
    if not hasattr(estimator, "get_params"):
        return "{}"

    def plain(value: object) -> object:
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, np.ndarray):
            return {"ndarray": list(value.shape), "sha256": hashlib.sha256(value.tobytes()).hexdigest()[:16]}
        return type(value).__name__

    parameters = {name: plain(value) for name, value in sorted(estimator.get_params(deep=True).items())}
    return json.dumps(parameters, sort_keys=True, default=str)
