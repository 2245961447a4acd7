"""The compiled model: what people call in production."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlcore import _core
from mlcore.containers import batches
from mlcore.errors import InputError

if TYPE_CHECKING:
    from mlcore.report import ParityReport

__all__ = ["Model", "load"]

Array = npt.NDArray[Any]

# what `row` answers when it is not told: the first of these that the model has
_ROW_METHODS = ("predict_proba", "predict", "transform")

_MAX_THREADS = 1024


def load(path: str | os.PathLike[str]) -> Model:
    """Read an artifact. Never runs code from the file; a damaged file is refused.

    Parameters
    ----------
    path : str or path-like
        A ``.mlc`` file.

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
    return Model(_core.Model.load(os.fspath(path)))


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
    """

    def __init__(self, core: _core.Model, parity: ParityReport | None = None) -> None:
        self._core = core
        self.parity = parity
        self._schema = core.schema
        self._outputs = core.outputs
        self._methods: dict[str, list[int]] = {}
        for position, output in enumerate(self._outputs):
            self._methods.setdefault(output["method"], []).append(position)
        self._labels = [_label_array(output) for output in self._outputs]
        self._rows = _core.RowScorer(core)

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

    def call(self, method: str, data: object) -> Array | list[Array]:
        """Any output of the model by the name of the original's method (see `methods`)."""
        return self._call(method, data)

    def row(self, values: Mapping[str, object], method: str | None = None) -> Any:
        """What the original returns for one row, without the row axis.

        Parameters
        ----------
        values : mapping of str to value
            One value per column: number, str, bool, datetime, None.
        method : str, optional
            ``"predict_proba"``, ``"predict"``, ``"decision_function"`` or ``"transform"``. Default: the first of
            predict_proba, predict and transform that the model has.

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
        if method is None:
            method = next((name for name in _ROW_METHODS if name in self._methods), self.methods[0])
        positions = self._positions(method)
        found = self._rows.run(values, positions, False)
        answers = [self._name_row(position, numbers) for position, numbers in zip(positions, found, strict=True)]
        return answers[0] if self._outputs[positions[0]]["index"] < 0 else answers

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
    def from_bytes(cls, data: bytes) -> Model:
        """A model from the bytes of an artifact; raises what `mlcore.load` raises."""
        return cls(_core.Model.from_bytes(data))

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

    def _call(self, method: str, data: object) -> Array | list[Array]:
        positions = self._positions(method)
        blocks = self._core.run(batches(data, self._schema), positions)
        arrays = [self._shape(position, block) for position, block in zip(positions, blocks, strict=True)]
        return arrays[0] if self._outputs[positions[0]]["index"] < 0 else arrays

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

    def _name_row(self, position: int, values: Sequence[Any]) -> Any:
        output = self._outputs[position]
        labels = self._labels[position]
        if labels is not None:
            values = [labels[value].item() if hasattr(labels[value], "item") else labels[value] for value in values]
        elif np.dtype(output["dtype"]).kind in "biu":
            cast = bool if np.dtype(output["dtype"]).kind == "b" else int
            values = [cast(value) for value in values]
        if len(values) == 1:
            return values[0]
        names = output["names"] or [str(index) for index in range(len(values))]
        return dict(zip(names, values, strict=True))


def _label_array(output: dict[str, Any]) -> Array | None:
    labels = output["labels"]
    if labels is None:
        return None
    dtype = np.dtype(output["dtype"])
    if isinstance(labels, list):
        return np.array(labels, dtype=dtype)
    return np.asarray(labels).astype(dtype)
