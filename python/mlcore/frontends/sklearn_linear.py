"""scikit-learn's linear models: one dot product, then a link (sklearn.linear_model, sklearn.svm)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mlcore.frontends._arrays import check, numeric_dtype
from mlcore.frontends._names import enter
from mlcore.frontends._sklearn_models import (
    argmax_label,
    cut_label,
    label_output,
    number_output,
    probability_output,
    spec,
    to_dtype,
)
from mlcore.frontends.context import Context, Frame, Output, Outputs, Value
from mlcore.frontends.registry import Entry, register

__all__: list[str] = []

Array = npt.NDArray[Any]

_TOLERANCE = (
    "Dot products: within 1e-12 (float32: 1e-5) of sum |w x|; where that sum overflows, infinities and NaN depend on "
    "the order of the terms, in NumPy as here"
)


# -- the dot product --------------------------------------------------------------------------------------------


def _block_name(dtype: np.dtype[Any], ctx: Context) -> str:
    if dtype == np.float32:
        return "f32"
    if dtype != np.float64:
        ctx.refuse(f"arithmetic in {dtype} is not supported", alternative="fit on float32 or float64")
    return "f64"


def _linear(
    estimator: Any, frame: Frame, ctx: Context, *, floats_only: bool = False, constant: Any = None
) -> tuple[Value, bool]:
    """``X @ coef_.T + intercept_`` in the dtypes that NumPy gives it, and whether the original's result is a vector.

    ``constant`` takes the place of ``intercept_``.
    """
    constant = estimator.intercept_ if constant is None else constant
    enter(estimator, frame, ctx)
    dtype = numeric_dtype(frame, ctx)
    if floats_only and dtype != np.float32:
        dtype = np.dtype(np.float64)
    x = check(ctx, frame.block("f32" if dtype == np.float32 else "f64"))
    coef = estimator.coef_.toarray() if hasattr(estimator.coef_, "toarray") else np.asarray(estimator.coef_)
    product = np.result_type(dtype, coef.dtype)
    weights = np.atleast_2d(coef).astype(product)
    intercept = np.broadcast_to(np.asarray(constant).reshape(-1), (len(weights),))
    # a Python float does not widen float32, a NumPy float64 does
    total = (np.zeros(len(weights), dtype=product) + constant).dtype
    block = _block_name(product, ctx)
    constants = {"weights": np.ascontiguousarray(weights)}
    if total == product:
        constants["bias"] = intercept.astype(product)
    value = ctx.node("dot", [to_dtype(ctx, x, block)], attrs={"accumulate": "blocked"}, constants=constants)
    if total != product:
        wide = to_dtype(ctx, value, _block_name(total, ctx))
        value = ctx.node("arith", [wide], attrs={"fn": "add"}, constants={"value": intercept.astype(total)})
    return value, coef.ndim == 1


# -- regressors -------------------------------------------------------------------------------------------------


def _regressor(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    value, vector = _linear(estimator, frame, ctx)
    output = number_output(value, vector=vector)
    return {"predict": output, "decision_function": output}


def _generalized(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    value, vector = _linear(estimator, frame, ctx, floats_only=True)
    link = type(estimator._base_loss.link)
    if link.__module__ != "sklearn._loss.link" or link.__name__ not in ("IdentityLink", "LogLink"):
        ctx.refuse(f"the link {link.__module__}.{link.__qualname__} is not supported", parameter="link")
    margin = number_output(value, vector=vector)
    if link.__name__ == "IdentityLink":
        return {"predict": margin, "decision_function": margin}
    mean = ctx.node("link", [value], attrs={"fn": "sk_exp"})
    return {"predict": number_output(mean, vector=vector), "decision_function": margin}


def _regressor_reference(estimator: Any, method: str, X: Any) -> Any:
    return estimator.predict(X) if method == "decision_function" else getattr(estimator, method)(X)


def _generalized_reference(estimator: Any, method: str, X: Any) -> Any:
    return estimator._linear_predictor(X) if method == "decision_function" else getattr(estimator, method)(X)


# -- classifiers ------------------------------------------------------------------------------------------------


def _classifier(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    scores, _ = _linear(estimator, frame, ctx)
    classes = np.asarray(estimator.classes_)
    outputs: Outputs = {"decision_function": number_output(scores, vector=scores.width == 1)}
    if scores.width == 1:
        outputs["predict"] = cut_label(ctx, scores, classes)
    else:
        outputs["predict"] = argmax_label(ctx, scores, classes)
    return outputs


def _one_versus_rest(ctx: Context, scores: Value) -> Value:
    """``_predict_proba_lr``: expit of every score, rows normalised when there are several."""
    proba = ctx.node("link", [scores], attrs={"fn": "sk_expit"})
    if scores.width == 1:
        return ctx.node("complement", [proba])
    return ctx.node("row_normalize", [proba], attrs={"zero": "uniform", "order": "pairwise"})


def _scores(outputs: Outputs) -> Value:
    output = outputs["decision_function"]
    assert isinstance(output, Output)
    return output.value


def _logistic(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    outputs = _classifier(estimator, frame, ctx)
    scores = _scores(outputs)
    # up to scikit-learn 1.7, several classes could be fitted one versus rest
    multi_class = getattr(estimator, "multi_class", "auto")
    several = len(estimator.classes_) > 2
    if not several or multi_class == "ovr" or (multi_class != "multinomial" and estimator.solver == "liblinear"):
        proba = _one_versus_rest(ctx, scores)
    else:
        proba = ctx.node("link", [scores], attrs={"fn": "sk_softmax"})
    outputs["predict_proba"] = probability_output(proba, estimator.classes_)
    return outputs


def _sgd_classifier(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    outputs = _classifier(estimator, frame, ctx)
    scores = _scores(outputs)
    if estimator.loss == "log_loss":
        outputs["predict_proba"] = probability_output(_one_versus_rest(ctx, scores), estimator.classes_)
    elif estimator.loss == "modified_huber":
        dtype = np.float32 if scores.dtype == "f32" else np.float64
        bounds = {"lo": np.array([-1.0], dtype=dtype), "hi": np.array([1.0], dtype=dtype)}
        share = ctx.node("clip", [scores], constants=bounds)
        # the binary branch of the original computes in a float64 array, whatever the scores are
        if scores.width == 1:
            share = to_dtype(ctx, share, "f64")
        for fn, number in (("add", 1.0), ("div", 2.0)):
            share = ctx.node("arith", [share], attrs={"fn": fn}, constants={"value": np.array([number])})
        if scores.width == 1:
            proba = ctx.node("complement", [share])
        else:
            proba = ctx.node("row_normalize", [share], attrs={"zero": "uniform", "order": "pairwise"})
        outputs["predict_proba"] = probability_output(proba, estimator.classes_)
    return outputs


def _ridge_classifier(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    if not estimator._label_binarizer.y_type_.startswith("multilabel"):
        return _classifier(estimator, frame, ctx)
    scores, _ = _linear(estimator, frame, ctx)
    if estimator._label_binarizer.sparse_input_:
        ctx.refuse("sparse targets are not supported: predict returns a sparse matrix", alternative="dense targets")
    cut = np.zeros(1, dtype=np.float32 if scores.dtype == "f32" else np.float64)
    value = ctx.node("threshold", [scores], attrs={"compare": "gt"}, constants={"cut": cut})
    return {
        "predict": label_output(ctx, value, np.array([0, 1]), vector=False),
        "decision_function": number_output(scores, vector=scores.width == 1),
    }


# -- outliers ---------------------------------------------------------------------------------------------------


def _one_class(estimator: Any, frame: Frame, ctx: Context) -> Outputs:
    # x - offset and x + (-offset) are the same number
    margin, _ = _linear(estimator, frame, ctx, constant=-np.asarray(estimator.offset_))
    offset = np.asarray(estimator.offset_, dtype=np.float32 if margin.dtype == "f32" else np.float64)
    score = ctx.node("arith", [margin], attrs={"fn": "add"}, constants={"value": offset.reshape(-1)})
    return {
        "predict": cut_label(ctx, margin, np.array([-1, 1], dtype=np.int32), "ge"),
        "decision_function": number_output(margin, vector=True),
        "score_samples": number_output(score, vector=True),
    }


# -- registry ---------------------------------------------------------------------------------------------------

_FITTED = spec(used="coef_ intercept_ n_features_in_ feature_names_in_", training="n_iter_")

_REGRESSORS: dict[str, tuple[str, str]] = {
    # class: constructor parameters, fitted attributes beside _FITTED; both act only while fitting
    "LinearRegression": ("fit_intercept copy_X tol n_jobs positive", "rank_ singular_"),
    "Ridge": ("alpha fit_intercept copy_X max_iter tol solver positive random_state", "solver_"),
    "RidgeCV": (
        "alphas fit_intercept scoring cv gcv_mode store_cv_results alpha_per_target",
        "alpha_ best_score_ cv_results_",
    ),
    "Lasso": (
        "alpha fit_intercept precompute copy_X max_iter tol warm_start positive random_state selection",
        "l1_ratio dual_gap_ sparse_coef_",
    ),
    "LassoCV": (
        "eps alphas fit_intercept precompute max_iter tol copy_X cv verbose n_jobs positive random_state selection",
        "mse_path_ alpha_ alphas_ dual_gap_",
    ),
    "ElasticNet": (
        "alpha l1_ratio fit_intercept precompute max_iter copy_X tol warm_start positive random_state selection",
        "dual_gap_ sparse_coef_",
    ),
    "ElasticNetCV": (
        (
            "l1_ratio eps alphas fit_intercept precompute max_iter tol cv copy_X verbose n_jobs positive random_state "
            "selection"
        ),
        "mse_path_ l1_ratio_ alpha_ alphas_ dual_gap_",
    ),
    "MultiTaskLasso": (
        "alpha fit_intercept copy_X max_iter tol warm_start random_state selection",
        "l1_ratio dual_gap_ eps_ sparse_coef_",
    ),
    "MultiTaskLassoCV": (
        "eps alphas fit_intercept max_iter tol copy_X cv verbose n_jobs random_state selection",
        "precompute positive mse_path_ alpha_ alphas_ dual_gap_",
    ),
    "MultiTaskElasticNet": (
        "alpha l1_ratio fit_intercept copy_X max_iter tol warm_start random_state selection",
        "dual_gap_ eps_ sparse_coef_",
    ),
    "MultiTaskElasticNetCV": (
        "l1_ratio eps alphas fit_intercept max_iter tol cv copy_X verbose n_jobs random_state selection",
        "mse_path_ l1_ratio_ alpha_ alphas_ dual_gap_",
    ),
    "Lars": (
        "fit_intercept verbose precompute n_nonzero_coefs eps copy_X fit_path jitter random_state",
        "alphas_ active_ coef_path_",
    ),
    "LarsCV": (
        "fit_intercept verbose max_iter precompute cv max_n_alphas n_jobs eps copy_X",
        "n_nonzero_coefs fit_path jitter random_state alpha_ cv_alphas_ mse_path_ alphas_ active_ coef_path_",
    ),
    "LassoLars": (
        "alpha fit_intercept verbose precompute max_iter eps copy_X fit_path positive jitter random_state",
        "alphas_ active_ coef_path_",
    ),
    "LassoLarsCV": (
        "fit_intercept verbose max_iter precompute cv max_n_alphas n_jobs eps copy_X positive",
        "alpha_ cv_alphas_ mse_path_ alphas_ active_ coef_path_",
    ),
    "LassoLarsIC": (
        "criterion fit_intercept verbose precompute max_iter eps copy_X positive noise_variance",
        "fit_path alphas_ noise_variance_ criterion_ alpha_",
    ),
    "OrthogonalMatchingPursuit": ("n_nonzero_coefs tol fit_intercept precompute", "n_nonzero_coefs_"),
    "OrthogonalMatchingPursuitCV": ("copy fit_intercept max_iter cv n_jobs verbose", "n_nonzero_coefs_"),
    "BayesianRidge": (
        (
            "max_iter tol alpha_1 alpha_2 lambda_1 lambda_2 alpha_init lambda_init compute_score fit_intercept copy_X "
            "verbose"
        ),
        "X_offset_ X_scale_ scores_ alpha_ lambda_ sigma_",
    ),
    "ARDRegression": (
        "max_iter tol alpha_1 alpha_2 lambda_1 lambda_2 compute_score threshold_lambda fit_intercept copy_X verbose",
        "X_offset_ X_scale_ scores_ alpha_ lambda_ sigma_",
    ),
    "HuberRegressor": ("epsilon max_iter alpha warm_start fit_intercept tol", "scale_ outliers_"),
    "TheilSenRegressor": (
        "fit_intercept max_subpopulation n_subsamples max_iter tol random_state n_jobs verbose",
        "n_subpopulation_ breakdown_",
    ),
    "QuantileRegressor": ("quantile alpha fit_intercept solver solver_options", ""),
    "SGDRegressor": (
        (
            "loss penalty alpha l1_ratio fit_intercept max_iter tol shuffle verbose epsilon random_state learning_rate "
            "eta0 power_t early_stopping validation_fraction n_iter_no_change warm_start average"
        ),
        "t_ _standard_coef _average_coef _standard_intercept _average_intercept",
    ),
    "PassiveAggressiveRegressor": (
        (
            "C fit_intercept max_iter tol early_stopping validation_fraction n_iter_no_change shuffle verbose loss "
            "epsilon random_state warm_start average"
        ),
        (
            "penalty learning_rate alpha l1_ratio eta0 power_t t_ _standard_coef _average_coef _standard_intercept "
            "_average_intercept"
        ),
    ),
}
for _name, (_parameters, _attributes) in _REGRESSORS.items():
    register(
        Entry(
            f"sklearn.linear_model.{_name}",
            "model",
            _regressor,
            parameters=spec(training=_parameters),
            attributes=_FITTED | spec(training=_attributes),
            reference=_regressor_reference,
            tolerance=_TOLERANCE,
            notes="decision_function equals predict",
        )
    )
register(
    Entry(
        "sklearn.svm.LinearSVR",
        "model",
        _regressor,
        parameters=spec(
            training="epsilon tol C loss fit_intercept intercept_scaling dual verbose random_state max_iter"
        ),
        attributes=_FITTED,
        reference=_regressor_reference,
        tolerance=_TOLERANCE,
        notes="decision_function equals predict",
    )
)
for _name, _honoured, _link in (
    ("PoissonRegressor", "", "exp"),
    ("GammaRegressor", "", "exp"),
    ("TweedieRegressor", "power link", "identity or exp"),
):
    register(
        Entry(
            f"sklearn.linear_model.{_name}",
            "model",
            _generalized,
            parameters=spec(honoured=_honoured, training="alpha fit_intercept solver max_iter tol warm_start verbose"),
            attributes=_FITTED | spec(used="_base_loss"),
            reference=_generalized_reference,
            tolerance=f"{_TOLERANCE}; predict: {_link} of it",
            notes="decision_function is the linear predictor, before the link",
        )
    )

_CLASSIFIER = _FITTED | spec(used="classes_")
_SGD_STATE = (
    "t_ _expanded_class_weight _loss_function_ _standard_coef _standard_intercept _average_coef _average_intercept"
)
_LABELS = "; a label can flip only where the decision ties within that"
register(
    Entry(
        "sklearn.linear_model.LogisticRegression",
        "model",
        _logistic,
        parameters=spec(
            honoured="solver",
            training="penalty C l1_ratio dual tol fit_intercept intercept_scaling class_weight random_state max_iter "
            "verbose warm_start n_jobs",
        ),
        attributes=_CLASSIFIER,
        tolerance=f"{_TOLERANCE}{_LABELS}; predict_proba: expit or softmax of it",
    )
)
register(
    Entry(
        "sklearn.linear_model.LogisticRegressionCV",
        "model",
        _logistic,
        parameters=spec(
            honoured="solver",
            training="Cs l1_ratios fit_intercept cv dual penalty scoring tol max_iter class_weight n_jobs verbose "
            "refit intercept_scaling random_state use_legacy_attributes",
        ),
        attributes=_CLASSIFIER | spec(training="Cs_ scores_ coefs_paths_ C_ l1_ratio_ l1_ratios_"),
        tolerance=f"{_TOLERANCE}{_LABELS}; predict_proba: expit or softmax of it",
    )
)
for _name, _parameters, _attributes in (
    (
        "RidgeClassifier",
        "alpha fit_intercept copy_X max_iter tol class_weight solver positive random_state",
        "solver_",
    ),
    (
        "RidgeClassifierCV",
        "alphas fit_intercept scoring cv class_weight store_cv_results",
        "gcv_mode alpha_per_target alpha_ best_score_ cv_results_",
    ),
):
    register(
        Entry(
            f"sklearn.linear_model.{_name}",
            "model",
            _ridge_classifier,
            parameters=spec(training=_parameters),
            attributes=_CLASSIFIER | spec(used="_label_binarizer", training=_attributes),
            tolerance=_TOLERANCE + _LABELS,
        )
    )
register(
    Entry(
        "sklearn.linear_model.SGDClassifier",
        "model",
        _sgd_classifier,
        parameters=spec(
            honoured="loss",
            training="penalty alpha l1_ratio fit_intercept max_iter tol shuffle verbose epsilon n_jobs random_state "
            "learning_rate eta0 power_t early_stopping validation_fraction n_iter_no_change class_weight warm_start "
            "average",
        ),
        attributes=_CLASSIFIER | spec(training=_SGD_STATE),
        tolerance=f"{_TOLERANCE}{_LABELS}; predict_proba with loss='log_loss': expit of it",
        notes="predict_proba with loss='log_loss' and 'modified_huber', as in scikit-learn",
    )
)
register(
    Entry(
        "sklearn.linear_model.SGDOneClassSVM",
        "model",
        _one_class,
        parameters=spec(
            training="nu fit_intercept max_iter tol shuffle verbose random_state learning_rate eta0 power_t warm_start "
            "average"
        ),
        attributes=spec(
            used="coef_ offset_ n_features_in_ feature_names_in_",
            training="n_iter_ t_ loss penalty C alpha l1_ratio epsilon early_stopping validation_fraction "
            "n_iter_no_change _loss_function_ _standard_coef _standard_intercept _average_coef _average_intercept",
        ),
        tolerance=_TOLERANCE + _LABELS,
        notes="also gives score_samples",
    )
)
register(
    Entry(
        "sklearn.linear_model.Perceptron",
        "model",
        _classifier,
        parameters=spec(
            training="penalty alpha l1_ratio fit_intercept max_iter tol shuffle verbose eta0 n_jobs random_state "
            "early_stopping validation_fraction n_iter_no_change class_weight warm_start"
        ),
        attributes=_CLASSIFIER | spec(training=f"{_SGD_STATE} loss learning_rate epsilon power_t average"),
        tolerance=_TOLERANCE + _LABELS,
    )
)
register(
    Entry(
        "sklearn.linear_model.PassiveAggressiveClassifier",
        "model",
        _classifier,
        parameters=spec(
            training="C fit_intercept max_iter tol early_stopping validation_fraction n_iter_no_change shuffle verbose "
            "loss n_jobs random_state warm_start class_weight average"
        ),
        attributes=_CLASSIFIER
        | spec(training=f"{_SGD_STATE} penalty learning_rate epsilon alpha l1_ratio eta0 power_t"),
        tolerance=_TOLERANCE + _LABELS,
    )
)
register(
    Entry(
        "sklearn.svm.LinearSVC",
        "model",
        _classifier,
        parameters=spec(
            training="penalty loss dual tol C multi_class fit_intercept intercept_scaling class_weight verbose "
            "random_state max_iter"
        ),
        attributes=_CLASSIFIER,
        tolerance=_TOLERANCE + _LABELS,
    )
)
