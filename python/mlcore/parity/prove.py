"""The proof that `mlcore.compile` gives with every model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from mlcore import _core
from mlcore.containers import batches
from mlcore.errors import InputError, ParityError, Problem, UnsupportedError
from mlcore.frontends import reference as original
from mlcore.model import Model
from mlcore.parity.compare import Rule, dense, mismatching_rows
from mlcore.parity.graph import Graph
from mlcore.parity.rows import Specials, Table, base_table, boundary_table, special_values
from mlcore.report import MethodParity, ParityReport

__all__ = ["prove", "verify"]

Array = npt.NDArray[Any]

_CAP = 200_000  # generated rows
# of a large forest fewer: so many times a tree of the original sees a row (some seconds), but at least _LEAST rows
_MAX_TREE_ROWS = 100_000_000
_LEAST = 20_000
# where the leaves of every tree are compared too, which takes memory: so many of them, but at least _FEWEST rows
_MAX_LEAVES = 10_000_000
_FEWEST = 2_000
_GOLDEN = 64
_MAX_PROBES = 200  # single-row calls of the original with special values

# allowed error of outputs behind dot products and norms, as a share of the largest magnitude (guarantees page)
_DOT_RELATIVE = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-4}


def prove(estimator: Any, core: _core.Model, sample: object, *, keep_sample: bool) -> tuple[_core.Model, ParityReport]:
    """Compare ``core`` with the original on generated rows and the sample; add golden rows.

    Raises
    ------
    ParityError
        On the first method with a row outside its promise.
    InputError
        If the original itself fails on the sample.
    """
    report = ParityReport()
    model = Model(core)
    source = _Source(estimator, _text_dtypes(sample))
    try:
        generated, answers = _generated(source, model, report)
    except InputError as error:
        if sample is None:
            raise
        what = "the original refuses every row that is generated in the column types of the sample"
        advice = "plain NumPy column types where the table has nullable ones"
        raise UnsupportedError([Problem("model", what, alternative=advice)]) from error
    _compare(estimator, model, source.container(generated), report, answers=answers)
    report.generated_rows += generated.rows
    last = _final_model(estimator)
    if last is not None:
        _prove_alone(last, report, leaf="leaf" in model.methods)
    if sample is not None:
        original_sample = _sample_for(estimator, model, sample)
        _compare(estimator, model, original_sample, report, own=sample)
        report.sample_rows = len(dense(reference(estimator, model.methods[0], original_sample)))
    golden: object
    if keep_sample and sample is not None:
        golden = _head(sample)
    else:
        step = max(1, generated.rows // _GOLDEN)
        golden = source.container(generated.take(slice(0, step * _GOLDEN, step)))
    return core.with_golden(batches(golden, model.schema)[0]), report


def verify(model: Model, estimator: Any, data: object) -> ParityReport:
    """Compare a model, however it was loaded, with the original on a table.

    Parameters
    ----------
    model : Model
    estimator : fitted estimator
        What the model was compiled from.
    data : table

    Returns
    -------
    ParityReport
        Mismatches are counted, not raised.
    """
    from mlcore.frontends import load_all

    load_all()
    report = ParityReport()
    original = _sample_for(estimator, model, data)
    _compare(estimator, model, original, report, own=data, raising=False)
    report.sample_rows = max((method.rows for method in report.methods.values()), default=0)
    return report


def reference(estimator: Any, method: str, data: Any) -> Any:
    """The original's answer, without its warnings about the odd values that the proof feeds it."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return original.reference(estimator, method, data)


# -- rows -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """The original, and the pandas dtypes in which its text columns come (object where that is not known)."""

    estimator: Any
    texts: Mapping[str, Any] = field(default_factory=dict)

    def container(self, table: Table) -> Any:
        """Generated rows as the original takes them: a data frame if it was fitted on one, else an array."""
        from mlcore.compiler import input_names

        arrays = [_typed(column["type"], values) for column, values in zip(table.schema, table.columns, strict=True)]
        names = [column["name"] for column in table.schema]
        if input_names(self.estimator) is not None:
            import pandas as pd

            # a missing integer stays an integer column only in pandas' nullable dtype
            series = [
                pd.array([None if np.isnan(value) else int(value) for value in array], dtype="Int64")
                if array.dtype.kind == "f" and not column["type"].startswith("float")
                # of an object array pandas would make its own strings, which have one missing value for two
                else pd.Series(array, dtype=self.texts.get(column["name"], object))
                if column["type"] == "string"
                else array
                for column, array in zip(table.schema, arrays, strict=True)
            ]
            return pd.DataFrame(dict(zip(names, series, strict=True)), columns=names)
        if any(array.dtype == object for array in arrays) or len({column["type"] for column in table.schema}) > 1:
            # an array of columns of several types holds objects
            out = np.empty((table.rows, len(arrays)), dtype=object)
            for index, (column, array) in enumerate(zip(table.schema, arrays, strict=True)):
                whole = array.dtype.kind == "f" and not column["type"].startswith("float")
                out[:, index] = [value if np.isnan(value) else int(value) for value in array] if whole else array
            return out
        return np.column_stack(arrays) if arrays else np.empty((table.rows, 0))


def _generated(source: _Source, model: Model, report: ParityReport) -> tuple[Table, dict[str, Any]]:
    """Rows that the original accepts, and its answers to them where they are known already, by method."""
    rng = np.random.default_rng(0)
    graph = Graph(model.core)
    facts = graph.facts()
    schema = model.schema
    ordinary = base_table(facts, schema, 8, rng)
    ordinary, _ = _accepted_rows(source, model, ordinary)
    specials = _probe(source, model, ordinary, report, rng)
    cap = min(_CAP, max(_LEAST, _MAX_TREE_ROWS // max(1, graph.trees())))
    if "leaf" in model.methods:
        cap = min(cap, max(_FEWEST, _MAX_LEAVES // max(1, graph.trees())))
    table = boundary_table(graph, facts, schema, specials, cap, rng)
    report.boundaries += table.boundaries
    report.boundaries_checked += table.boundaries_checked
    return _accepted_rows(source, model, table)


def _answer(source: _Source, model: Model, table: Table) -> Any:
    """The original's answer by the first method; None where it refuses these rows."""
    try:
        return reference(source.estimator, model.methods[0], source.container(table))
    except Exception:  # whatever the original raises means that
        return None


def _accepts(source: _Source, model: Model, table: Table) -> bool:
    return _answer(source, model, table) is not None


def _accepted_rows(source: _Source, model: Model, table: Table) -> tuple[Table, dict[str, Any]]:
    """The rows that the original accepts, found by halving where it refuses the whole; then no answers are known."""
    if table.rows == 0:
        return table, {}
    answer = _answer(source, model, table)
    if answer is not None:
        return table, {model.methods[0]: answer}
    kept: list[Array] = []
    budget = 400

    def search(rows: Array) -> None:
        nonlocal budget
        budget -= 1
        if budget < 0:
            return
        if _accepts(source, model, table.take(rows)):
            kept.append(rows)
        elif len(rows) > 1:
            half = len(rows) // 2
            search(rows[:half])
            search(rows[half:])

    search(np.arange(table.rows))
    if not kept:
        raise InputError(
            "the original refuses every generated row; pass `sample=` with rows that it accepts, "
            "so that column types are known"
        )
    return table.take(np.sort(np.concatenate(kept))), {}


def _probe(
    source: _Source, model: Model, ordinary: Table, report: ParityReport, rng: np.random.Generator
) -> list[Specials]:
    """Which special values the original accepts, column by column; what it refuses, the model must refuse."""
    specials = [Specials() for _ in ordinary.schema]
    probes = [
        (index, name, value)
        for index, column in enumerate(ordinary.schema)
        if column["used"]
        for name, value in special_values(column)
    ]
    if len(probes) > _MAX_PROBES:
        probes = [probes[i] for i in np.sort(rng.choice(len(probes), _MAX_PROBES, replace=False))]
    one = ordinary.take(slice(0, 1))
    for index, name, value in probes:
        table = one.with_value(index, value)
        container = source.container(table)
        accepted = _accepts(source, model, table)
        try:
            model.call(model.methods[0], container)
            answered = True
        except InputError:
            answered = False
        label = f"{name} in column {ordinary.schema[index]['name']!r}"
        if accepted and answered:
            specials[index].accepted.append(value)
        elif accepted:
            report.only_refused_here.append(label)
        elif answered:
            raise ParityError(f"the original refuses {label} but the compiled model answers")
        else:
            report.refusals += 1
    return specials


def _text_dtypes(sample: object) -> dict[str, Any]:
    """Text columns of a pandas sample in which a missing value is NaN, by name."""
    if not hasattr(sample, "iloc") or not hasattr(sample, "dtypes"):
        return {}
    texts = {str(name): dtype for name, dtype in sample.dtypes.items() if type(dtype).__name__ == "StringDtype"}
    return {name: dtype for name, dtype in texts.items() if isinstance(dtype.na_value, float)}


def _typed(logical: str, values: Array) -> Any:
    if logical == "string" or values.dtype.kind == "O":
        return values
    if logical.startswith("timestamp"):
        unit, _, zone = logical[len("timestamp[") : -1].partition(", ")
        times = values.astype(np.int64).astype(f"datetime64[{unit}]")
        if not zone:
            return times
        import pandas as pd

        return pd.DatetimeIndex(times).tz_localize("UTC").tz_convert(zone)
    if logical.startswith("date"):
        # dates reach the original as Python objects, which is what pandas makes of an Arrow date
        days = values.astype(np.int64).astype("datetime64[D]" if logical == "date32" else "datetime64[ms]")
        return days.astype("datetime64[D]").astype(object)
    if logical in ("float64", "float32", "float16"):
        return values.astype(logical)
    # an integer column with missing values reaches the original as NumPy and pandas have it: as float64
    return values if values.dtype.kind == "f" else values.astype(logical)


def _sample_for(estimator: Any, model: Model, sample: object) -> Any:
    """The sample as the original accepts it; containers that it does not know become a pandas frame."""
    first: Exception | None = None
    ways: tuple[Callable[[Any], Any], ...] = (lambda data: data, _to_pandas)
    for convert in ways:
        try:
            candidate = convert(sample)
            reference(estimator, model.methods[0], candidate)
        except Exception as error:  # the original may raise anything
            first = first or error
        else:
            return candidate
    raise InputError(f"the original itself fails on the sample: {type(first).__name__}: {first}") from first


def _to_pandas(data: Any) -> Any:
    import pandas as pd

    if hasattr(data, "to_pandas"):
        return data.to_pandas()
    return pd.DataFrame(data)


def _head(sample: Any) -> Any:
    if isinstance(sample, dict):
        return {name: column[:_GOLDEN] for name, column in sample.items()}
    if hasattr(sample, "iloc"):
        return sample.iloc[:_GOLDEN]
    return sample[:_GOLDEN]


# -- the model alone --------------------------------------------------------------------------------------------


def _final_model(estimator: Any) -> Any:
    steps = getattr(estimator, "steps", None)
    if not steps or not hasattr(estimator, "named_steps"):
        return None
    last = steps[-1][1]
    return last if hasattr(last, "predict") else None


def _prove_alone(estimator: Any, report: ParityReport, *, leaf: bool) -> None:
    """The last step by itself, on rows at the split values of its own input."""
    from mlcore.compiler import compile_core

    try:
        core = compile_core(estimator, leaf=leaf)
    except (UnsupportedError, InputError):
        return  # it needs to know its input columns' types, which only the pipeline before it tells
    model = Model(core)
    try:
        table, answers = _generated(_Source(estimator), model, report)
    except InputError:
        return
    _compare(estimator, model, _Source(estimator).container(table), report, answers=answers)
    report.generated_rows += table.rows


# -- comparison -------------------------------------------------------------------------------------------------


def _compare(
    estimator: Any,
    model: Model,
    data: Any,
    report: ParityReport,
    own: object = None,
    *,
    raising: bool = True,
    answers: Mapping[str, Any] | None = None,
) -> None:
    answers = answers or {}
    for method in model.methods:
        expected = answers[method] if method in answers else reference(estimator, method, data)
        found = model.call(method, data if own is None else own)
        parity = report.methods.setdefault(method, MethodParity())
        pairs = [(expected, found)] if not isinstance(found, list) else list(zip(expected, found, strict=True))
        positions = model._positions(method)
        for index, (position, (one, other)) in enumerate(zip(positions, pairs, strict=True)):
            outside = _compare_output(model, position, method, dense(one), np.asarray(other), data, parity)
            if raising and outside.any():
                row = int(np.flatnonzero(outside)[0])
                alone = reference(estimator, method, data.iloc[[row]] if hasattr(data, "iloc") else data[row : row + 1])
                alone = dense(alone[index] if isinstance(found, list) else alone)
                _refuse_difference(method, data, row, int(outside.sum()), dense(one), np.asarray(other), alone)


def _refuse_difference(
    method: str, data: Any, row: int, count: int, expected: Array, found: Array, alone: Array
) -> NoReturn:
    shown = data.iloc[row].to_dict() if hasattr(data, "iloc") else data[row]
    if repr(alone[0].tolist()) != repr(expected[row].tolist()):
        raise UnsupportedError(
            [
                Problem(
                    "model",
                    f"{method}: the original answers {expected[row]!r} in a table but {alone[0]!r} for the same row "
                    f"alone, and mlcore {found[row]!r}, for input {shown!r}",
                )
            ]
        )
    raise ParityError(
        f"{method}: {count} of {len(expected)} rows differ; first: row {row}, expected "
        f"{expected[row]!r} but found {found[row]!r}, for input {shown!r}"
    )


def _rule(graph: Graph, value: int, dtype: np.dtype[Any]) -> Rule:
    inexact = graph.inexact(value)
    if not inexact:
        return Rule()
    ops = {graph.nodes[node]["op"] for node in inexact}
    unit = any(graph.nodes[node]["op"] in ("complement", "row_normalize") for node in graph.ancestors(value))
    # a float64 output is only as good as the float32 steps behind it
    narrow = any(graph.nodes[node]["dtype"] == "f32" for node in inexact)
    if not ops <= {"link", "unary"}:
        return Rule(ulps=4, relative=_DOT_RELATIVE[np.dtype(np.float32 if narrow else np.float64)], unit_scale=unit)
    ulps = 4 * len(inexact)
    widened = narrow and dtype != np.float32
    eps = float(np.finfo(np.float32 if narrow else np.float64).eps)
    return Rule(ulps=ulps, relative=ulps * eps if widened or graph.cancels(value) else 0.0, unit_scale=unit)


def _compare_output(
    model: Model,
    position: int,
    method: str,
    expected: Array,
    found: Array,
    data: Any,
    parity: MethodParity,
) -> Array:
    """Count the rows outside the promise; gives them as a mask."""
    graph = Graph(model.core)
    value = model.core.outputs[position]["value"]
    if expected.shape != found.shape or (method != "transform" and expected.dtype.kind != found.dtype.kind):
        raise ParityError(
            f"{method}: expected shape {expected.shape} of {expected.dtype} but found {found.shape} of {found.dtype}"
        )
    if expected.dtype.kind == "f" and expected.dtype != found.dtype:
        raise ParityError(f"{method}: expected dtype {expected.dtype} but found {found.dtype}")
    inexact = graph.inexact(value)
    outside, worst = mismatching_rows(expected, found, _rule(graph, value, expected.dtype))
    parity.rows += len(expected)
    parity.max_ulp = max(parity.max_ulp, worst)
    parity.exact = parity.exact and not inexact
    for node in inexact:
        label = f"{graph.nodes[node]['op']} ({graph.nodes[node]['path']})"
        # the model alone has shorter paths to the same steps
        if not any(known == label or known.endswith(label.partition(" (")[2]) for known in parity.tolerance_ops):
            parity.tolerance_ops.append(label)
    if outside.any() and (graph.can_flip(value) or "dot" in {graph.nodes[node]["op"] for node in inexact}):
        undecided = outside & _overflowing(model, data)
        if graph.can_flip(value):
            undecided |= outside & _near_decision(model, graph, data)
        parity.undecided += int(undecided.sum())
        outside &= ~undecided
    parity.mismatches += int(outside.sum())
    return outside


def _overflowing(model: Model, data: Any) -> Array:
    """Rows where terms of a dot product may overflow: the order of the sum then decides between numbers and NaN."""
    open_ = np.zeros(len(data), dtype=bool)
    for position, column in enumerate(model.schema):
        if column["type"] in ("float64", "float32") and column["used"]:
            values = data[column["name"]] if hasattr(data, "columns") else np.asarray(data)[:, position]
            limit = 1e150 if column["type"] == "float64" else 1e18
            open_ |= np.abs(np.asarray(values, dtype=np.float64)) > limit
    return open_


def _near_decision(model: Model, graph: Graph, data: Any) -> Array:
    """Rows where an inexact step leaves the decision open: margins that tie within rounding.

    Where a tree or an encoder follows an inexact step, any row may be open: there, exactness is promised from the
    model's input on, and that was proven apart.
    """
    for output in model.core.outputs:
        if output["method"] != "decision_function" or graph.can_flip(output["value"]):
            continue
        margin = np.asarray(model.call("decision_function", data), dtype=np.float64)
        scale = 1e-9 * max(1.0, float(np.abs(margin[np.isfinite(margin)]).max(initial=0.0)))
        if margin.ndim == 1:
            return np.abs(margin) <= scale
        ordered = np.sort(margin, axis=1)
        return (ordered[:, -1] - ordered[:, -2]) <= scale
    return np.ones(len(data), dtype=bool)
