"""Shapes to solve in: what is inside, where the boundary is, how far it is.

    Box  Interval  Rectangle  Ball  Disc  Polygon  l_shape      shapes
    a | b   a & b   a - b                                       shapes of two shapes
    TimeSlab                                                    a shape in space through time

Reading order: shape, box, ball, polygon, slab, joins.
"""

from tessera.pinn.geometry.ball import Ball, Disc
from tessera.pinn.geometry.box import Box, Interval, Rectangle
from tessera.pinn.geometry.polygon import Polygon, l_shape
from tessera.pinn.geometry.shape import Combination, Shape, Side
from tessera.pinn.geometry.slab import TimeSlab

__all__ = [
    "Ball",
    "Box",
    "Combination",
    "Disc",
    "Interval",
    "Polygon",
    "Rectangle",
    "Shape",
    "Side",
    "TimeSlab",
    "l_shape",
]
