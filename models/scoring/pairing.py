"""The best pairing of two sets, such as the objects of an annotation and those that were found."""

import numpy as np


def best_pairs(likeness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair rows with columns, each at most once, so that the sum of their likeness is as large as possible.

    Args:
        likeness: (N, K), finite.

    Returns:
        the rows, ascending, and the column of each: ints (min(N, K),) each.
    """
    from scipy.optimize import linear_sum_assignment  # a second to import, and a cached run pairs nothing

    rows, columns = linear_sum_assignment(likeness, maximize=True)
    return rows, columns
