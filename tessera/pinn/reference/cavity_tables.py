"""Velocities in the lid-driven cavity as printed by Ghia, Ghia and Shin.

Tables I and II of J. Comput. Phys. 48 (1982) 387-411, by Reynolds number: u along the vertical line x = 0.5
at the heights Y, v along the horizontal line y = 0.5 at the places X, from second-order differences on
129 x 129 points. The flow of `cavity`, like every other accurate one, differs from them by up to 0.005 in u
and 0.009 in v at Re = 100, 0.003 and 0.006 at Re = 400.
"""

import numpy as np


def _numbers(text: str) -> np.ndarray:
    return np.array([float(word) for word in text.split()])


Y = _numbers(
    "1.0 0.9766 0.9688 0.9609 0.9531 0.8516 0.7344 0.6172 0.5 0.4531 0.2813 0.1719 0.1016 "
    "0.0703 0.0625 0.0547 0.0"
)
X = _numbers(
    "1.0 0.9688 0.9609 0.9531 0.9453 0.9063 0.8594 0.8047 0.5 0.2344 0.2266 0.1563 0.0938 "
    "0.0781 0.0703 0.0625 0.0"
)
U = {
    100: _numbers(
        "1.0 0.84123 0.78871 0.73722 0.68717 0.23151 0.00332 -0.13641 -0.20581 -0.2109 -0.15662 "
        "-0.1015 -0.06434 -0.04775 -0.04192 -0.03717 0.0"
    ),
    400: _numbers(
        "1.0 0.75837 0.68439 0.61756 0.55892 0.29093 0.16256 0.02135 -0.11477 -0.17119 -0.32726 "
        "-0.24299 -0.14612 -0.10338 -0.09266 -0.08186 0.0"
    ),
}
V = {
    100: _numbers(
        "0.0 -0.05906 -0.07391 -0.08864 -0.10313 -0.16914 -0.22445 -0.24533 0.05454 0.17527 "
        "0.17507 0.16077 0.12317 0.1089 0.10091 0.09233 0.0"
    ),
    400: _numbers(
        "0.0 -0.12146 -0.15663 -0.19254 -0.22847 -0.23827 -0.44993 -0.38598 0.05186 0.30174 "
        "0.30203 0.28124 0.22965 0.2092 0.19713 0.1836 0.0"
    ),
}
# Where v is a misprint: at Re = 400, x = 0.9063 the value is about -0.3897.
MISPRINTS = {100: np.zeros(17, bool), 400: np.equal(X, 0.9063)}
