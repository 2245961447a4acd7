"""The compiled model: what people call in production."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from mlcore import _core
from mlcore.containers import batches
from mlcore.device import DeviceArray, DeviceTables, device_tables, is_on_device
from mlcore.errors import InputError

if TYPE_CHECKING:
    from mlcore.report import ParityReport

__all__ = ["Model", "load"]

Array = npt.NDArray[Any]

# what `row` answers when it is not told: the first of these that the model has
_ROW_METHODS = ("predict_proba", "predict", "transform")

_MAX_THREADS = 1024


def load(path: str | os.PathLike[str], device: str = "cpu") -> Model:
    """Read an artifact. Never runs code from the file; a damaged file is refused.

    Parameters
    ----------
    path : str or path-like
        A ``.mlc`` file.
    device : str, default="cpu"
        Where the model runs: ``"cpu"``, or ``"cuda"``, ``"cuda:1"`` ... for a GPU, by its number.

    Returns
    -------
    Model

    Raises
    ------
    ArtifactError
        If the file is no artifact, is damaged, was written by a newer version, or does not give its
        golden rows' bytes on this machine.
    ArtifactIOError
        If the file cannot be read.
    DeviceError
        If the device, its driver or mlcore's library for it is not there, a step cannot run there, or the device
        does not give the golden rows' bytes. Nothing runs on the CPU instead.

    Examples
    --------
    >>> import mlcore, numpy as np, tempfile, os
    >>> from sklearn.preprocessing import StandardScaler
    >>> X = np.array([[1.0], [3.0]])
    >>> path = os.path.join(tempfile.mkdtemp(), "scaler.mlc")
    >>> mlcore.compile(StandardScaler().fit(X)).save(path)
    >>> mlcore.load(path).transform(X).ravel().tolist()
    [-1.0, 1.0]
    """
    return Model(_core.Model.load(os.fspath(path)), device=device)


class Model:
    """A compiled pipeline. Immutable but for `threads`; usable from any number of threads.

    Get one from `mlcore.compile` or `mlcore.load`. Every method takes anything tabular: a pandas or polars
    DataFrame, a pyarrow Table, RecordBatch or RecordBatchReader, anything with ``__arrow_c_stream__``, a NumPy
    2-D or structured array, a dict of columns, a list of dict rows. Columns are matched by name (2-D arrays: by
    position); models fitted on bare arrays call them ``x0, x1, ...``. Integers are accepted as floats and narrow
    types as wider ones when no value changes; anything else is an `InputError`.

    Attributes
    ----------
    parity : ParityReport or None
        What `mlcore.compile` proved; None on a model that was loaded.

    Notes
    -----
    A model that was loaded for a GPU takes all of these, and arrays in that GPU's memory: one of shape (n, k), or a
    dict of columns, of CuPy, torch, numba or whatever else has ``__cuda_array_interface__`` or ``__dlpack__``. For
    those it answers with a `DeviceArray`, which stays there.
    """

    def __init__(self, core: _core.Model, parity: ParityReport | None = None, device: str = "cpu") -> None:
        self._core = core
        self.parity = parity
        self._on_device = None if device == "cpu" else _core.DeviceModel(core, device)
        self._schema = core.schema
        self._outputs = core.outputs
        self._methods: dict[str, list[int]] = {}
        for position, output in enumerate(self._outputs):
            self._methods.setdefault(output["method"], []).append(position)
        self._labels = [_label_array(output) for output in self._outputs]
        self._scorers: dict[str | None, _core.Scorer] = {}  # of `row`, by method
        self._value_scorers: dict[str | None, _core.Scorer] = {}  # of `row_values`

    # -- predictions --------------------------------------------------------------------------------------------

    def predict(self, data: object) -> Array:
        """What the original's ``predict`` returns: same shape, dtype and order.

        Parameters
        ----------
        data : table
            n rows; see the class docstring.

        Returns
        -------
        ndarray of shape (n,) or (n, n_outputs)

        Raises
        ------
        InputError
            If a column is missing, extra or mistyped, or a step refuses a value as the original would.

        Examples
        --------
        >>> import mlcore, numpy as np
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> X, y = np.array([[0.0], [1.0]]), np.array(["no", "yes"])
        >>> mlcore.compile(DecisionTreeClassifier().fit(X, y)).predict(X).tolist()
        ['no', 'yes']
        """
        return self._single("predict", data)

    def predict_proba(self, data: object) -> Array | list[Array]:
        """Class probabilities, as the original's ``predict_proba``.

        Parameters
        ----------
        data : table
            n rows; see the class docstring.

        Returns
        -------
        ndarray of shape (n, n_classes), or a list of them for several targets
            Columns in the order of the original's ``classes_``.

        Raises
        ------
        InputError
            As `predict`.
        """
        return self._call("predict_proba", data)

    def decision_function(self, data: object) -> Array:
        """The raw margin, before any link, also for estimators that have no such method.

        XGBoost: ``output_margin=True``; LightGBM: ``raw_score=True``; scikit-learn: ``decision_function`` where it
        exists, else the value that the supported matrix states for the family.

        Parameters
        ----------
        data : table
            n rows; see the class docstring.

        Returns
        -------
        ndarray of shape (n,) or (n, n_outputs)

        Raises
        ------
        InputError
            As `predict`.
        """
        return self._single("decision_function", data)

    def leaf(self, data: object) -> Array:
        """Which leaf of each tree a row falls into, as the original numbers them.

        XGBoost and scikit-learn: ``apply``; LightGBM: ``pred_leaf=True``. Only where the model was compiled with
        ``leaf=True``.

        Parameters
        ----------
        data : table
            n rows; see the class docstring.

        Returns
        -------
        ndarray of shape (n, n_trees)
            int64, in the order of the trees: by round, and by class within a round.

        Raises
        ------
        InputError
            If the model was compiled without, or as `predict`.

        Examples
        --------
        >>> import mlcore, numpy as np
        >>> from sklearn.tree import DecisionTreeRegressor
        >>> X = np.array([[0.0], [1.0]])
        >>> mlcore.compile(DecisionTreeRegressor().fit(X, [10.0, 20.0]), leaf=True).leaf(X).ravel().tolist()
        [1, 2]
        """
        return self._single("leaf", data)

    def transform(self, data: object) -> Array:
        """The features: the output of the steps before the model, or of a pipeline of transforms.

        Parameters
        ----------
        data : table
            n rows; see the class docstring.

        Returns
        -------
        ndarray of shape (n, n_features)
            Dense also where the original returns a sparse matrix. Columns are named `feature_names_out`.

        Raises
        ------
        InputError
            As `predict`.
        """
        return self._single("transform", data)

    def call(self, method: str, data: object, *, stream: int | None = None) -> Array | list[Array]:
        """Any output of the model by the name of the original's method (see `methods`).

        Parameters
        ----------
        method : str
            One of `methods`.
        data : table
            n rows; see the class docstring.
        stream : int, optional
            For arrays in a GPU's memory: the CUDA stream in which they are ready, as a number (``cupy``'s
            ``stream.ptr``, torch's ``stream.cuda_stream``). Default: what the arrays say, else the default stream.
        """
        return self._call(method, data, stream)

    def row(self, values: Mapping[str, object], method: str | None = None) -> Any:
        """What the original returns for one row, without the row axis.

        Parameters
        ----------
        values : mapping of str to value
            One value per column: number, str, bool, datetime, None.
        method : str, optional
            ``"predict_proba"``, ``"predict"``, ``"decision_function"``, ``"leaf"`` or ``"transform"``. Default: the
            first of predict_proba, predict and transform that the model has.

        Returns
        -------
        float, label, or dict of str to float
            A dict by output name (class label, target or feature name) when there are several values.

        Raises
        ------
        InputError
            As `predict`.

        Examples
        --------
        >>> import mlcore, numpy as np
        >>> from sklearn.linear_model import LinearRegression
        >>> model = mlcore.compile(LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0]))
        >>> round(model.row({"x0": 2.0}), 9)
        5.0
        """
        scorer = self._scorers.get(method)
        if scorer is None:
            scorer = self._scorers[method] = self._prepared(method, None)
        return scorer(values)

    def row_values(self, values: Sequence[object] | Array, method: str | None = None) -> Any:
        """What `row` returns, for a row given by position: one value for each of `columns`, in that order.

        Parameters
        ----------
        values : sequence or ndarray of shape (n_columns,)
            The values that `row` takes. An array of floats or integers is read without an object for each element.
        method : str, optional
            As for `row`.

        Returns
        -------
        float, label, or dict of str to float
            As `row`.

        Raises
        ------
        InputError
            If there are more or fewer values than columns, or as `predict`.

        Examples
        --------
        >>> import mlcore, numpy as np
        >>> from sklearn.preprocessing import StandardScaler
        >>> model = mlcore.compile(StandardScaler().fit([[0.0, 1.0], [2.0, 3.0]]))
        >>> model.columns
        ['x0', 'x1']
        >>> model.row_values([2.0, 1.0])
        {'x0': 1.0, 'x1': -1.0}
        >>> model.row_values(np.array([0.0, 2.0]))
        {'x0': -1.0, 'x1': 0.0}
        """
        scorer = self._value_scorers.get(method)
        if scorer is None:
            scorer = self._value_scorers[method] = self._prepared(method, self.columns)
        return scorer(values)

    def scorer(self, method: str | None = None, columns: Sequence[str] | None = None) -> _core.Scorer:
        """Prepare one method for rows by position: the fastest way to predict single rows.

        Parameters
        ----------
        method : str, optional
            As for `row`.
        columns : sequence of str, optional
            What each value of a row is. Every one of `columns` must be there, in any order; columns of the schema that
            the model does not use may be, and their values are not looked at. Default: `columns`.

        Returns
        -------
        callable
            Takes one row, a sequence or a one-dimensional array, and returns what `row` returns. May be called from
            several threads at once. Its attributes `method` and `columns` say what it was made for.

        Raises
        ------
        InputError
            If a column is unknown, named twice or missing from the list; the message names all of them.

        Examples
        --------
        >>> import mlcore
        >>> from sklearn.tree import DecisionTreeRegressor
        >>> model = mlcore.compile(DecisionTreeRegressor().fit([[0.0, 5.0], [1.0, 5.0]], [10.0, 20.0]))
        >>> score = model.scorer(columns=["x1", "x0"])
        >>> score([5.0, 1.0]), score([5.0, 0.0])
        (20.0, 10.0)
        """
        if isinstance(columns, str):
            raise InputError(f"expected a sequence of column names but found str ({columns!r})")
        return self._prepared(method, self.columns if columns is None else list(columns))

    # -- what it is ---------------------------------------------------------------------------------------------

    @property
    def methods(self) -> list[str]:
        """Names of the methods this model answers."""
        return list(self._methods)

    @property
    def columns(self) -> list[str]:
        """Names of the columns that a table must have."""
        return [column["name"] for column in self._schema if column["used"]]

    @property
    def schema(self) -> list[dict[str, Any]]:
        """One dict per input column: name, type, nullable, distinguishes_missing, used."""
        return [dict(column) for column in self._schema]

    @property
    def classes_(self) -> Array | None:
        """Class labels of a classifier; None for anything else."""
        for position in self._methods.get("predict", []):
            return self._labels[position]
        return None

    @property
    def feature_names_out(self) -> list[str]:
        """Names of the columns that `transform` returns."""
        return list(self._outputs[self._positions("transform")[0]]["names"])

    @property
    def provenance(self) -> dict[str, str]:
        """Where the model comes from: library versions, parameters, digests given at compile time."""
        return dict(self._core.provenance)

    @property
    def threads(self) -> int:
        """Most threads that one call on this model takes; small batches take one.

        They come from one pool that all models of the process share. The default is what ``MLCORE_THREADS`` says,
        else the processors that the process may use; set None (or 0) for it. What a call answers, errors included,
        does not depend on the number.

        Raises
        ------
        InputError
            When set to anything else than an integer from 1 to 1024.

        Examples
        --------
        >>> import mlcore, numpy as np
        >>> from sklearn.preprocessing import StandardScaler
        >>> model = mlcore.compile(StandardScaler().fit(np.array([[1.0], [3.0]])))
        >>> model.threads = 2
        >>> model.threads
        2
        >>> model.threads = None
        """
        return self._core.threads

    @threads.setter
    def threads(self, threads: int | None) -> None:
        try:
            number = 0 if threads is None else operator.index(threads)
            if isinstance(threads, bool) or not 0 <= number <= _MAX_THREADS:
                raise ValueError
        except (TypeError, ValueError):
            raise InputError(
                f"threads: expected an integer from 1 to {_MAX_THREADS}, or None for the default, but found {threads!r}"
            ) from None
        self._core.threads = number

    @property
    def device(self) -> str:
        """Where the model runs: ``"cpu"``, or ``"cuda:0"``."""
        return "cpu" if self._on_device is None else self._on_device.device

    @property
    def core(self) -> _core.Model:
        """The raw model, for tools that look inside (`mlcore inspect`)."""
        return self._core

    # -- files --------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the artifact. An existing file is replaced whole or left as it was, whatever happens.

        Parameters
        ----------
        path : str or path-like
            Usually ends in ``.mlc``.

        Raises
        ------
        ArtifactIOError
            If the target cannot be written.
        """
        self._core.save(os.fspath(path))

    def to_bytes(self) -> bytes:
        """The artifact as bytes; the same model always gives the same bytes."""
        return self._core.to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes, device: str = "cpu") -> Model:
        """A model from the bytes of an artifact; raises what `mlcore.load` raises."""
        return cls(_core.Model.from_bytes(data), device=device)

    def __str__(self) -> str:
        from mlcore.inspection import summary

        return summary(self)

    def __repr__(self) -> str:
        return f"<mlcore.Model {', '.join(self.methods)}; {len(self.columns)} columns>"

    # -- inside -------------------------------------------------------------------------------------------------

    def _positions(self, method: str) -> list[int]:
        try:
            return self._methods[method]
        except KeyError:
            raise InputError(
                f"expected one of the model's methods ({', '.join(self.methods)}) but found {method!r}"
            ) from None

    def _call(self, method: str, data: object, stream: int | None = None) -> Array | list[Array]:
        positions = self._positions(method)
        if self._on_device is None:
            if is_on_device(data):
                raise InputError(
                    "expected a table in the host's memory, as this model runs on the CPU, but found arrays of a GPU; "
                    'mlcore.load(path, device="cuda:0") takes them'
                )
        elif (tables := device_tables(data, [column["name"] for column in self._schema], stream)) is not None:
            # for tables of a device DeviceArrays, which the signatures leave unsaid
            return cast("Array | list[Array]", self._call_on_device(method, tables))
        core = self._core if self._on_device is None else self._on_device
        blocks = core.run(batches(data, self._schema), positions)
        arrays = [self._shape(position, block) for position, block in zip(positions, blocks, strict=True)]
        return arrays[0] if self._outputs[positions[0]]["index"] < 0 else arrays

    def _call_on_device(self, method: str, found: DeviceTables) -> Any:
        positions = self._positions(method)
        for position in positions:
            self._check_device_output(method, self._outputs[position], self._labels[position])
        assert self._on_device is not None
        buffers = self._on_device.run_on_device(found.tables, positions, found.stream)
        arrays = [
            DeviceArray(buffer, self._outputs[position]["vector"])
            for position, buffer in zip(positions, buffers, strict=True)
        ]
        return arrays[0] if self._outputs[positions[0]]["index"] < 0 else arrays

    def _check_device_output(self, method: str, output: Mapping[str, Any], labels: Array | None) -> None:
        """Refuse what would be no array of the block's own numbers: labels that are not 0, 1, 2 ..., other types."""
        node = self._core.nodes[output["value"]]
        block = {"f64": "float64", "f32": "float32", "i64": "int64"}.get(node["dtype"], node["dtype"])
        plain = labels is None or np.array_equal(labels, np.arange(len(labels)))
        if output["dtype"] != block or not plain:
            raise InputError(
                f"{method}: expected a result of numbers that a GPU holds as they are but found labels of type "
                f"{output['dtype']}; give a table in the host's memory, or ask for predict_proba"
            )

    def _single(self, method: str, data: object) -> Array:
        result = self._call(method, data)
        assert not isinstance(result, list)
        return result

    def _shape(self, position: int, block: Array) -> Array:
        output = self._outputs[position]
        labels = self._labels[position]
        array = block if labels is None else labels[block]
        array = array.astype(output["dtype"], copy=False)
        return array.reshape(-1) if output["vector"] else array

    def _prepared(self, method: str | None, columns: list[str] | None) -> _core.Scorer:
        """One method for single rows: mappings, or values in the order of ``columns``."""
        if self._on_device is not None:
            raise InputError(
                f"expected a table, as this model runs on {self.device}, but found a single row; "
                "mlcore.load(path) answers single rows on the CPU, which is faster"
            )
        if method is None:
            method = next((name for name in _ROW_METHODS if name in self._methods), self.methods[0])
        positions = self._positions(method)
        kinds = [np.dtype(self._outputs[position]["dtype"]).kind for position in positions]
        arrays = [self._labels[position] for position in positions]
        labels = [None if array is None else array.tolist() for array in arrays]
        return _core.scorer(self._core, method, kinds, labels, columns)


def _label_array(output: dict[str, Any]) -> Array | None:
    labels = output["labels"]
    if labels is None:
        return None
    dtype = np.dtype(output["dtype"])
    if isinstance(labels, list):
        return np.array(labels, dtype=dtype)
    return np.asarray(labels).astype(dtype)
