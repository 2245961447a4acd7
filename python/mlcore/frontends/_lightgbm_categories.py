"""Pandas categoricals of LightGBM: a booster stores their lists of values in column order, without column names.

Source: LightGBM 4.7 ``basic.py`` (``_data_from_pandas``): a category column becomes its codes, -1 becomes NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlcore.frontends._lightgbm_text import TextModel, parse_model

__all__ = ["assign_categories", "is_text", "with_category_columns"]


def is_text(kind: str | None) -> bool:
    """Whether a column of this type holds strings."""
    return kind in ("str", "string", "object")


def _fits(values: Sequence[Any], kind: str | None) -> bool:
    """Whether ``values`` can be the pandas categories of a column of this type."""
    if not values or kind is None:
        return True
    if all(isinstance(value, str) for value in values):
        return is_text(kind)
    if all(isinstance(value, (bool, np.bool_)) for value in values):
        return kind == "bool"
    if all(isinstance(value, (int, np.integer)) for value in values):
        return not is_text(kind) and kind != "bool"
    return kind.startswith("f")


def assign_categories(
    model: TextModel, kinds: Sequence[str | None], categories: Sequence[Sequence[Any]]
) -> dict[int, Sequence[Any]] | None:
    """Find the column that each list of ``pandas_categorical`` belongs to; None if that is not certain.

    Parameters
    ----------
    model : TextModel
    kinds : sequence of str or None
        Element type per column; None where it is not known.
    categories : sequence of sequences
        ``Booster.pandas_categorical``.
    """
    text = {index for index, kind in enumerate(kinds) if is_text(kind)}
    split = model.categorical_features
    # first: the categorical features are the category columns; then fewer (given by number); then ordered ones
    for must, may in ((text | split, text | split), (text, text | split), (text, set(range(len(kinds))))):
        columns = sorted(may)
        fits = [
            [_fits(values, kinds[c]) and model.codes_below(c, len(values)) for values in categories] for c in columns
        ]
        # ways[i][j]: how many ways to give the lists from j on to the columns from i on, in order
        ways = [[0] * (len(categories) + 1) for _ in range(len(columns) + 1)]
        ways[-1][-1] = 1
        for i in reversed(range(len(columns))):
            for j in range(len(categories) + 1):
                ways[i][j] = 0 if columns[i] in must else ways[i + 1][j]
                if j < len(categories) and fits[i][j]:
                    ways[i][j] += ways[i + 1][j + 1]
        if ways[0][0]:
            break
    if ways[0][0] != 1:
        return None
    out: dict[int, Sequence[Any]] = {}
    for i, column in enumerate(columns):
        j = len(out)
        if j < len(categories) and fits[i][j] and ways[i + 1][j + 1]:
            out[column] = categories[j]
    return out


def with_category_columns(booster: Any, table: Any) -> Any:
    """Turn plain columns of a pandas frame into the category columns that ``booster`` was trained on.

    Only then does LightGBM take them; values are what counts, so the codes are those of the trained lists.
    """
    categories = getattr(booster, "pandas_categorical", None) or []
    if not categories or type(table).__module__.partition(".")[0] != "pandas" or not hasattr(table, "dtypes"):
        return table
    dtypes = list(table.dtypes)
    if sum(str(dtype) == "category" for dtype in dtypes) == len(categories):
        return table
    # pandas' own names ("Int64", "boolean") beside NumPy's
    names = [str(dtype.categories.dtype if str(dtype) == "category" else dtype).lower() for dtype in dtypes]
    plain: list[str | None] = ["bool" if name == "boolean" else name for name in names]
    assigned = assign_categories(parse_model(booster.model_to_string(num_iteration=-1)), plain, categories)
    if assigned is None:
        return table
    columns = {index: table.iloc[:, index].astype("category") for index in assigned}
    out = table.copy()
    for index, column in columns.items():
        out.isetitem(index, column)
    return out
