"""Generated tables to try mlcore on; nothing is downloaded."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mlcore._optional import import_optional
from mlcore.errors import InputError

__all__ = ["transactions"]

Array = npt.NDArray[Any]

_MERCHANTS = (
    "grocery",
    "fuel",
    "travel",
    "electronics",
    "jewellery",
    "gambling",
    "pharmacy",
    "restaurant",
    "streaming",
)
_COUNTRIES = ("NL", "DE", "FR", "BE", "GB", "US", "BR", "NG", "RU", "CN")
_CHANNELS = ("chip", "contactless", "online", "magstripe", "atm")


def transactions(rows: int = 10_000, *, seed: int = 0, unseen: float = 0.0, as_frame: bool = True) -> tuple[Any, Array]:
    """Card transactions with a fraud label: strings, nulls, heavy tails, timestamps, rare categories.

    Parameters
    ----------
    rows : int, default=10_000
        Number of rows.
    seed : int, default=0
        The same seed gives the same rows on every machine.
    unseen : float, default=0.0
        Share of rows whose merchant and country are names that no other share holds, as production has them.
    as_frame : bool, default=True
        Whether to return a pandas DataFrame; otherwise a dict of NumPy arrays.

    Returns
    -------
    table : DataFrame or dict of ndarray
        ``amount`` (float64, EUR, log-normal with a heavy tail, never null), ``balance`` (float64, EUR, 8 % null),
        ``age_of_card`` (int64, days), ``merchant``, ``country``, ``channel`` (str, 3 %, 1 %, 0 % null),
        ``is_recurring`` (bool), ``velocity`` (float32, transactions per hour, 2 % null),
        ``time`` (datetime64[us], UTC).
    fraud : ndarray of shape (rows,), int64
        1 for fraud, about 4 % of rows.

    Raises
    ------
    InputError
        If ``rows`` is negative or ``unseen`` is not a share.

    Examples
    --------
    >>> table, fraud = transactions(1000, as_frame=False)
    >>> sorted(table)[:3], table["amount"].shape, fraud.dtype.name
    (['age_of_card', 'amount', 'balance'], (1000,), 'int64')
    """
    if rows < 0 or not 0.0 <= unseen <= 1.0:
        raise InputError(f"expected rows >= 0 and 0 <= unseen <= 1 but found rows={rows}, unseen={unseen}")
    rng = np.random.default_rng(seed)

    def pick(names: tuple[str, ...], tail: float) -> Array:
        weights = 1.0 / np.arange(1, len(names) + 1) ** tail
        return np.array(names, dtype=object)[rng.choice(len(names), rows, p=weights / weights.sum())]

    def drop(values: Array, share: float) -> Array:
        missing = rng.random(rows) < share
        values = values.copy()
        values[missing] = None if values.dtype == object else np.nan
        return values

    amount = np.round(rng.lognormal(3.0, 1.2, rows) * np.where(rng.random(rows) < 0.01, 50.0, 1.0), 2)
    merchant, country, channel = pick(_MERCHANTS, 1.0), pick(_COUNTRIES, 1.5), pick(_CHANNELS, 0.7)
    velocity = rng.gamma(1.5, 1.0, rows)
    age = rng.integers(0, 4_000, rows)
    start = np.datetime64("2026-01-01T00:00:00", "us")
    time = start + rng.integers(0, 180 * 86_400_000_000, rows).astype("timedelta64[us]")
    hour = (time - time.astype("datetime64[D]")).astype("timedelta64[h]").astype(np.int64)

    risk = (
        -5.2
        + 0.6 * np.log1p(amount / 50.0)
        + 1.3 * np.isin(merchant, ["electronics", "jewellery", "gambling"])
        + 1.6 * np.isin(country, ["NG", "RU", "CN"])
        + 0.9 * (channel == "online")
        + 0.7 * (velocity > 4.0)
        + 0.8 * ((hour < 5) | (age < 30))
    )
    fraud = (rng.random(rows) < 1.0 / (1.0 + np.exp(-risk))).astype(np.int64)

    fresh = rng.random(rows) < unseen
    merchant[fresh] = [f"new merchant {code}" for code in rng.integers(0, 100, int(fresh.sum()))]
    country[fresh] = "ZZ"
    table: dict[str, Array] = {
        "amount": amount,
        "balance": drop(np.round(rng.normal(1_500.0, 2_000.0, rows), 2), 0.08),
        "age_of_card": age,
        "merchant": drop(merchant, 0.03),
        "country": drop(country, 0.01),
        "channel": channel,
        "is_recurring": rng.random(rows) < 0.2,
        "velocity": drop(velocity.astype(np.float32), 0.02),
        "time": time,
    }
    if not as_frame:
        return table, fraud
    pandas = import_optional("pandas", "transactions(as_frame=True)")
    frame = pandas.DataFrame(table)
    frame["time"] = frame["time"].dt.tz_localize("UTC")
    return frame, fraud
