"""TL2cgen: the trees as C code, compiled with gcc."""

from __future__ import annotations

import tl2cgen
import treelite
from worker import Ready, Refused, Work, built_once, median_seconds


def prepare(work: Work) -> Ready:
    """Generate and compile in parts, as its guide advises for large models, or load what an earlier run did."""
    X = work.matrix()
    if work.trees > 1_000 or work.library == "sklearn":
        raise Refused("left out: the C code of this many nodes compiles for an hour")
    if work.library == "xgboost":
        model, kind = treelite.frontend.load_xgboost_model(work.path("model.ubj")), "float32"
    else:
        model, kind = treelite.frontend.load_lightgbm_model(work.path("model.txt")), "float64"
        X = X.astype(kind)
    path = work.path("tl2cgen.so")

    def build() -> None:
        params = {"parallel_comp": 16, "quantize": 0}
        tl2cgen.export_lib(model, toolchain="gcc", libpath=path, params=params, nthread=work.threads)

    def load() -> tl2cgen.Predictor:
        return tl2cgen.Predictor(path, nthread=work.threads)

    seconds = built_once(path, build)
    predictor, matrix = load(), tl2cgen.DMatrix(X, dtype=kind)
    rows = [tl2cgen.DMatrix(X[i : i + 1], dtype=kind) for i in range(1_000)]
    single = tl2cgen.Predictor(path, nthread=1)
    return Ready(
        lambda: predictor.predict(matrix, pred_margin=True),
        lambda i: single.predict(rows[i], pred_margin=True),
        len(rows),
        {"build_seconds": seconds, "load_seconds": median_seconds(load)},
    )
