"""Functions computed at a determinism level: every equation by a rule that keeps the promise.

`at_level(f, level)` traces f and computes each equation of it so that its bits depend on nothing the level
excludes. From D2 on that means

    sums        trees of elementwise additions, fixed by the length of the axis
    products    tiles of one shape, whatever the batch and the mesh (D3), or exact products of slices (D4)
    arithmetic  products rounded before they meet a sum: compilers contract a * b + c where they see it whole,
                and what they see depends on shapes and devices
    D4          correctly rounded operations and polynomials of them in a fixed order (`core.portable`)

A derivative of such a function is the derivative of f, at the same level: the primitive that carries it has
rules for forward mode, transposition and vmap.

    tables     what a primitive reaches, by name; operators add rules for sums and products
    floats     the rules of arithmetic
    reach      what a traced function reaches, and what stands in the way
    evaluate   a traced function, equation by equation
    function   the primitive, and its derivatives
    calls      functions of pytrees
"""

from tessera.core.levels.calls import calls_at as calls_at
from tessera.core.levels.calls import name_of as name_of
from tessera.core.levels.calls import scoped as scoped
from tessera.core.levels.floats import narrowed as narrowed
from tessera.core.levels.function import at_level as at_level
from tessera.core.levels.function import inline as inline
from tessera.core.levels.function import of_lists as of_lists
from tessera.core.levels.function import opaque_one as opaque_one
from tessera.core.levels.function import tangents_at as tangents_at
from tessera.core.levels.function import transpose_at as transpose_at
from tessera.core.levels.reach import PINNED as PINNED
from tessera.core.levels.reach import Reach as Reach
from tessera.core.levels.reach import reaches as reaches
from tessera.core.levels.tables import ARITHMETIC as ARITHMETIC
from tessera.core.levels.tables import CALLS as CALLS
from tessera.core.levels.tables import ELEMENTWISE as ELEMENTWISE
from tessera.core.levels.tables import EXACT as EXACT
from tessera.core.levels.tables import ORDER as ORDER
from tessera.core.levels.tables import def_rule as def_rule
