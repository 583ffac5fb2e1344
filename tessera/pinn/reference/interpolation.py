"""Values between stored times, by the polynomial through the stored times around."""

from collections.abc import Iterator

import numpy as np

# Times a polynomial goes through: its error is of order 8 in their distance.
NODES = 8


def windows(
    stored: np.ndarray, wanted: np.ndarray, nodes: int = NODES
) -> Iterator[tuple[np.ndarray, slice, np.ndarray]]:
    """Yields groups of wanted times with the stored times they are interpolated from, and the weights.

    Each group is `(indices into wanted (k,), slice of stored, weights (k, nodes))`; the value at a wanted
    time is the weighted sum of the stored ones. `stored` ascends; wanted times lie within it. A wanted time
    that is stored has a single weight, 1.

    >>> _, where, weights = next(windows(np.array([0.0, 1.0, 2.0]), np.array([0.5])))
    >>> print(where, weights)
    slice(0, 3, None) [[ 0.375  0.75  -0.125]]
    """
    nodes = min(nodes, len(stored))
    before = np.clip(np.searchsorted(stored, wanted, side="right") - 1, 0, max(len(stored) - 2, 0))
    first = np.clip(before - (nodes // 2 - 1), 0, len(stored) - nodes)
    for start in np.unique(first):
        members = np.flatnonzero(first == start)
        where = slice(int(start), int(start) + nodes)
        yield members, where, _weights(stored[where], wanted[members])


def _weights(nodes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Lagrange's polynomials of the nodes at the wanted times, in products, which have no poles."""
    apart = nodes[:, None] - nodes[None, :]
    np.fill_diagonal(apart, 1.0)
    factors = np.repeat((wanted[:, None] - nodes)[:, None, :], len(nodes), axis=1)
    factors[:, np.arange(len(nodes)), np.arange(len(nodes))] = 1.0
    return (factors / apart).prod(axis=2)
