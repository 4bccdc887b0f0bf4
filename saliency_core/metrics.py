"""Numbers that say something about maps."""

from __future__ import annotations

from saliency_core.combine import FloatMap, is_constant


def rank_correlation(first: FloatMap, second: FloatMap) -> float | None:
    r"""Spearman's rank correlation of two maps of one shape, in [-1, 1].

    The Pearson correlation of the ranks, equal values sharing their mean rank. None, for undefined, when one
    of the maps is constant.

    Raises:
        ValueError: maps of different shapes.

    >>> rank_correlation(np.array([[1.0, 2.0, 3.0]]), np.array([[10.0, 100.0, 1000.0]]))
    1.0
    """
    if first.shape != second.shape:
        raise ValueError(f"the maps have shapes {first.shape} and {second.shape}; expected the same")
    if is_constant(first) or is_constant(second):
        return None
    from scipy import stats  # not at the top: it doubles the time of importing this package

    return float(stats.spearmanr(first.ravel(), second.ravel()).statistic)
