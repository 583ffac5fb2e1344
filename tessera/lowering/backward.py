"""Raises an idiom together with its backward, in a graph that `jax.grad` has already been through.

There the steps of an idiom are read twice: by what follows, and by the derivative. Raising the result alone
would leave all of them in place. But how JAX differentiates those steps is known: the steps found are
differentiated again, by JAX, and each equation of their backward is looked up in the graph. Where all of it
is there, the forward is replaced by the op and the backward by the op's own.

    p = softmax q k^T;  o = p v            o, L = flash_attention_forward q k v
    …                                 →    …
    dv = p^T do;  dp = do v^T;  …          dq, dk, dv = flash_attention_bwd q k v o L do

So an idiom needs no second pattern for its derivative, however it was written.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
from xdsl.ir import Block, Operation, SSAValue, Use
from xdsl.rewriter import InsertPoint, Rewriter

from tessera.core import compat
from tessera.ir.graph import Node, Return, constant_of, is_node, jax_type, node_of, ops_of
from tessera.lowering.jaxpr_to_graph import add_equations
from tessera.lowering.match import made_by
from tessera.lowering.pattern import KEPT, pattern_of, with_gradients
from tessera.lowering.rule import Build, Replacement, attribute_to, erase_if_dead
from tessera.lowering.simplify import key_of

SUMS = ("add_any", "add")  # how cotangents of a value used twice are put together
MOST_CANDIDATES = 64  # values tried as the cotangent
MOST_STEPS = 256  # nodes between the operands and the value of an idiom; the longest known has 40
MOST_READERS = 256  # of one value, among which a node is looked for
MOST_SUMS = 64  # that follow one another, through which a term of a gradient is followed


class Surroundings:
    """What is known of a block while a rule runs over it.

    Nodes keep their order while others are put between them, so positions are counted once.
    """

    def __init__(self, block: Block):
        self.block = block

    @cached_property
    def _positions(self) -> dict[Operation, int]:
        return {op: i for i, op in enumerate(ops_of(self.block))}

    @cached_property
    def _of_constants(self) -> dict[Any, Node]:
        """The nodes that read constants alone, by what they compute."""
        nodes = (op for op in ops_of(self.block) if is_node(op))
        alone = (op for op in nodes if all(constant_of(x) is not None for x in op.operands))
        return {key_of(op, op.operands): op for op in alone}

    @cached_property
    def _by_name(self) -> defaultdict[str, list[Node]]:
        found: defaultdict[str, list[Node]] = defaultdict(list)
        for op in ops_of(self.block):
            if is_node(op):
                found[op.name].append(op)
        return found

    def in_order(self, nodes: Collection[Node]) -> list[Node]:
        """Returns nodes of the block in program order."""
        places = self._positions
        if all(node in places for node in nodes):
            return sorted(nodes, key=places.__getitem__)
        return [op for op in ops_of(self.block) if is_node(op) and op in nodes]

    def named(self, name: str) -> list[Node]:
        """Returns the nodes with a name that the block had first and still has, in program order."""
        return [node for node in self._by_name[name] if node.parent is self.block]

    def find(self, op: Node, inputs: Sequence[SSAValue]) -> Node | None:
        """Returns the node that computes from these inputs what `op` does from its own."""
        known = next((x for x in inputs if constant_of(x) is None), None)
        if known is None:
            return self._find_of_constants(key_of(op, inputs))
        for use in islice(known.uses, MOST_READERS):
            node = use.operation
            if not is_node(node) or node.name != op.name or node.parent is not self.block:
                continue
            if not _are_read(node, inputs):
                continue  # nearly all: to make the keys would cost more
            key = key_of(op, inputs)
            if key is not None and key_of(node, node.operands) == key:
                return node
        return None

    def _find_of_constants(self, key: Any) -> Node | None:
        found = None if key is None else self._of_constants.get(key)
        return found if found is not None and found.parent is self.block else None


def _are_read(node: Node, inputs: Sequence[SSAValue]) -> bool:
    """Whether a node may read these inputs; of constants it is left open which."""
    operands = tuple(node.operands)
    return len(operands) == len(inputs) and all(
        x is y or constant_of(y) is not None for x, y in zip(operands, inputs, strict=True)
    )


@dataclass(frozen=True)
class _Backward:
    """The backward of an idiom where it was found.

    `ct` is the cotangent that enters it, `nodes` are the nodes that depend on it and `saved` those that do
    not (what JAX computes beforehand); `gradients` has, for each operand, the values that add up to its
    gradient, none where the graph does not compute it.
    """

    ct: SSAValue
    nodes: frozenset[Node]
    saved: frozenset[Node]
    gradients: tuple[tuple[SSAValue, ...], ...]


def replace_with_backward(found: Replacement, anchor: Node, around: Surroundings) -> bool:
    """Replaces what an idiom computes and its backward by the op and the op's backward.

    Returns whether the backward was there, whole, and nobody else reads what is between.
    """
    found = _without_repeats(found)
    steps = around.in_order(steps_between(found.value, found.operands))
    moving = tuple(i for i, x in enumerate(found.operands) if _moves(x))
    assert anchor.equation is not None
    if not steps or not moving or compat.is_per_shard(anchor.equation):
        return False  # inside shard_map a derivative has collectives, which a trace of its own cannot bind
    # JAX adds up cotangents in the reverse of program order, so the steps are given in that.
    pattern = pattern_of(steps, found.operands, found.value, moving)
    backward = _find(pattern, found, around)
    if backward is None or not _is_whole(found, steps, backward, around):
        return False
    _put(found, anchor, moving, backward, around)
    return True


@dataclass(frozen=True)
class _Spread:
    """A build whose operands are among fewer: some were one value given twice."""

    build: Build
    places: tuple[int, ...]

    def __call__(self, *operands: jax.Array) -> jax.Array:
        return self.build(*(operands[i] for i in self.places))


def _without_repeats(found: Replacement) -> Replacement:
    """Returns a replacement that names each operand once: the gradient of a value is that of all its uses."""
    once = tuple(dict.fromkeys(found.operands))
    if len(once) == len(found.operands):
        return found
    places = tuple(map(once.index, found.operands))
    return replace(found, operands=once, build=_Spread(Build.of(found.build), places))


def _moves(x: SSAValue) -> bool:
    return jnp.issubdtype(jax_type(x).dtype, jnp.inexact)


def steps_between(value: SSAValue, operands: Sequence[SSAValue]) -> dict[Node, None]:
    """Returns the nodes between operands and a value; none if it depends on anything else."""
    known = set(operands)
    found: dict[Node, None] = {}

    def is_reached(x: SSAValue) -> bool:
        return x in known or node_of(x) in found or constant_of(x) is not None

    waiting = [] if is_reached(value) else [value]
    while waiting:
        node = node_of(waiting[-1])
        if node is None or node.regions or len(found) + len(waiting) > MOST_STEPS:
            return {}
        inner = [x for x in node.operands if not is_reached(x)]
        if inner:
            waiting += reversed(inner)
            continue
        found[node] = None
        while waiting and is_reached(waiting[-1]):
            waiting.pop()
    return found


# -- looking it up -------------------------------------------------------------------------------------


def _find(pattern: Block, found: Replacement, around: Surroundings) -> _Backward | None:
    """Returns where a pattern lies in a graph, its forward on the steps it was made of."""
    known: dict[SSAValue, SSAValue] = dict(zip(pattern.args, found.operands, strict=False))
    saved = _extend(known, pattern, around)
    end = pattern.last_op
    assert isinstance(end, Return)
    for ct in _candidates(pattern, known, around):
        placed = {**known, pattern.args[-1]: ct}
        used = _extend(placed, pattern, around)
        gradients = tuple(_terms(x, placed) for x in end.operands[1:])
        if used and any(gradients):
            return _Backward(ct, frozenset(used), frozenset(saved), gradients)
    return None


def _candidates(
    pattern: Block, known: Mapping[SSAValue, SSAValue], around: Surroundings
) -> Iterator[SSAValue]:
    """Yields values of the graph that may be the cotangent: what meets a known value as it does."""
    unknown = pattern.args[-1]
    tried: set[SSAValue] = set()
    for use in unknown.uses:
        first = use.operation
        others = [x for x in first.operands if x is not unknown]
        if not is_node(first) or not all(x in known for x in others):
            continue
        meeting = (
            [other.operation for other in islice(known[others[0]].uses, MOST_READERS)]
            if others
            else around.named(first.name)  # it meets nothing, as the cotangent of a transform does
        )
        for node in meeting:
            same = node.name == first.name and len(node.operands) == len(first.operands)
            ct = node.operands[use.index] if same else None
            if ct is not None and ct.type == unknown.type and ct not in tried:
                tried.add(ct)
                yield ct
            if len(tried) >= MOST_CANDIDATES:
                return


def _extend(placed: dict[SSAValue, SSAValue], pattern: Block, around: Surroundings) -> set[Node]:
    """Adds the values of a pattern whose operands are placed and that the graph computes too."""
    used: set[Node] = set()
    for op in ops_of(pattern):
        if not is_node(op) or op.results[0] in placed:
            continue
        inputs = _inputs(op, placed)
        match = None if inputs is None else around.find(op, inputs)
        if match is not None:
            placed.update(zip(op.results, match.results, strict=True))
            used.add(match)
    return used


def _inputs(op: Node, placed: Mapping[SSAValue, SSAValue]) -> list[SSAValue] | None:
    """Returns the values of the graph that an op of a pattern reads, None if one of them is not known."""
    inputs: list[SSAValue] = []
    for x in op.operands:
        # A constant is told by its value, wherever it stands.
        found = placed.get(x, None if constant_of(x) is None else x)
        if found is None:
            return None
        inputs.append(found)
    return inputs


def _terms(value: SSAValue, placed: Mapping[SSAValue, SSAValue]) -> tuple[SSAValue, ...]:
    """Returns the values of the graph that add up to a gradient, none where one of them is missing."""
    if value in placed:
        return (placed[value],)
    total = made_by(value, *SUMS)
    if total is None:
        return ()
    parts = [_terms(x, placed) for x in total.operands]
    return tuple(x for part in parts for x in part) if all(parts) else ()


def _is_whole(
    found: Replacement, steps: Sequence[Node], backward: _Backward, around: Surroundings
) -> bool:
    """Whether the steps are read by each other and by the backward alone, and sums can lose a term.

    What depends on constants alone, such as a mask, may be read by anyone.
    """
    inside = {*steps, *backward.nodes, *backward.saved}
    moving = _dependent(found, [op for op in around.in_order(inside) if op not in backward.nodes])
    for node in moving:
        for result in node.results:
            if result is not found.value and any(u.operation not in inside for u in result.uses):
                return False
    several = [terms for terms in backward.gradients if len(terms) > 1]
    return all(_are_one_sum(terms, backward.nodes) for terms in several)


def _dependent(found: Replacement, nodes: Iterable[Node]) -> list[Node]:
    """Returns the nodes that depend on an operand, of nodes in program order."""
    values = set(found.operands)
    depend: list[Node] = []
    for node in nodes:
        if any(x in values for x in node.operands):
            values.update(node.results)
            depend.append(node)
    return depend


def _are_one_sum(terms: Sequence[SSAValue], inside: Collection[Operation]) -> bool:
    """Whether terms are read by sums, and end in one: then one may stand for all of them.

    What reads them inside the backward goes with it.
    """
    ends = [_end_of_sums(term, inside) for term in terms]
    return None not in ends and len(set(ends)) == 1


def _end_of_sums(term: SSAValue, inside: Collection[Operation]) -> Operation | None:
    """Returns the last of the sums a value goes into, one after the other; None if it goes elsewhere too."""
    end = None
    use = _use_outside(term, inside)
    for _ in range(MOST_SUMS):
        if use is None or use.operation.name.removeprefix("jax.") not in SUMS:
            return end
        end = use.operation
        use = _use_outside(end.results[0], inside)
    return None


def _use_outside(value: SSAValue, inside: Collection[Operation]) -> Use | None:
    """Returns the one use of a value outside the backward, or None if there is none or more."""
    outside = (use for use in value.uses if use.operation not in inside)
    first, second = next(outside, None), next(outside, None)
    return first if second is None else None


# -- putting the op in its place -----------------------------------------------------------------------


def _put(
    found: Replacement,
    anchor: Node,
    moving: tuple[int, ...],
    backward: _Backward,
    around: Surroundings,
) -> None:
    types = tuple(jax_type(x) for x in found.operands)
    assert anchor.equation is not None
    traced = _traced(
        Build.of(found.build), moving, types, jax_type(found.value), anchor.equation.ctx
    )
    jaxpr, consts = compat.opened(traced)
    block = Block()
    value, *gradients = add_equations(block, jaxpr, consts, [*found.operands, backward.ct])
    first = around.in_order(backward.nodes)[0]
    late: set[SSAValue] = {backward.ct}
    for op in ops_of(block):
        is_late = any(x in late for x in op.operands)
        late.update(op.results if is_late else ())
        op.detach()
        place = first if is_late else anchor
        attribute_to(op, place)
        Rewriter.insert_op(op, InsertPoint.before(place))
    found.value.replace_all_uses_with(value)
    for terms, gradient in zip(backward.gradients, gradients, strict=True):
        if terms:
            _replace_sum(terms, gradient, backward.nodes)
    for node in (*backward.nodes, anchor):
        if node.parent is not None:
            erase_if_dead(node)


@lru_cache(KEPT)
def _traced(
    build: Build, moving: tuple[int, ...], types: tuple[Any, ...], wanted: Any, context: Any
) -> Any:
    with context.manager:
        return jax.make_jaxpr(with_gradients(build, moving))(types, wanted)


def _replace_sum(
    terms: Sequence[SSAValue], gradient: SSAValue, inside: Collection[Operation]
) -> None:
    """Puts a gradient in the place of the first of its terms and takes the others out of their sums."""
    for term in terms[1:]:
        use = _use_outside(term, inside)
        assert use is not None
        total = use.operation
        total.results[0].replace_all_uses_with(total.operands[1 - use.index])
        erase_if_dead(total)
    terms[0].replace_uses_with_if(gradient, lambda use: use.operation not in inside)
