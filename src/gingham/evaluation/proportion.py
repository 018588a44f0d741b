"""How sure a share is that was counted: the score interval of a binomial proportion."""

import math

from gingham.evaluation.bootstrap import Interval

__all__ = ["wilson_interval"]

_Z95 = 1.959963984540054
"""The normal distribution's 97.5% quantile."""


def wilson_interval(hits: int, n: int) -> Interval | None:
    """95% score interval of a proportion (Wilson 1927, JASA 22, 209-212); of use for a handful of cases too.

    Args:
        hits: how many of the cases.
        n: number of cases, independent of each other.

    Returns:
        The two ends, 0..1; None without cases.
    """
    if not n:
        return None
    share, spread = hits / n, _Z95**2 / n
    middle = share + spread / 2
    half = _Z95 * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    # All or none of the cases: the end is exact, and rounding must not push the share itself out.
    low = 0.0 if hits == 0 else (middle - half) / (1 + spread)
    high = 1.0 if hits == n else (middle + half) / (1 + spread)
    return low, high
