"""`op.rng`: random numbers that depend only on a seed, a counter and the index of the element.

The generator is Philox4x32-10 (`philox.py`). Element i of a draw is made from the block of counter + i, in
integer arithmetic alone, so an array is the same however it is sharded, and a draw of 10 followed by one with
counter=10 is a draw of 20. A JAX key draws by JAX's own generator instead, whose arrays are as independent of
the mesh. There is no hidden state: the same call gives the same numbers, and others come from another key,
another counter, or `split`.

philox.py       the generator: words from a counter and a key
keys.py         what may stand for a key
draws.py        the distributions
generator.py    `op.rng` itself
"""

from tessera.ops.rng.draws import normal as random_normal
from tessera.ops.rng.draws import uniform as random_uniform
from tessera.ops.rng.generator import rng as rng

rng_uniform, rng_normal = random_uniform, random_normal
