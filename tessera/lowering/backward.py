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

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Literal, Var
from xdsl.ir import Block, SSAValue
from xdsl.rewriter import InsertPoint, Rewriter

from tessera.core import compat
from tessera.ir.graph import Constant, Node, Return, jax_type
from tessera.ir.types import type_of
from tessera.lowering.jaxpr_to_graph import add_equations
from tessera.lowering.match import made_by
from tessera.lowering.rule import Build, Replacement, attribute_to, erase_if_dead
from tessera.lowering.simplify import fold_block, key_of, merge_block, prune_block

SUMS = ("add_any", "add")  # how cotangents of a value used twice are put together
MOST_CANDIDATES = 64  # nodes tried as the first step of a backward


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


def replace_with_backward(found: Replacement, anchor: Node) -> bool:
    """Replaces what an idiom computes and its backward by the op and the op's backward.

    Returns whether the backward was there, whole, and nobody else reads what is between.
    """
    steps = _steps(found.value, found.operands)
    moving = tuple(i for i, x in enumerate(found.operands) if _moves(x))
    if not steps or not moving:
        return False
    block = anchor.parent
    assert block is not None
    nodes_by_key = _index(block)
    pattern = _Pattern.of(steps, found, moving)
    backward = pattern.find(nodes_by_key, found)
    if backward is None or not _is_whole(found, steps, backward):
        return False
    _put(found, anchor, moving, backward)
    return True


def _moves(x: SSAValue) -> bool:
    return jnp.issubdtype(jax_type(x).dtype, jnp.floating)


def _steps(value: SSAValue, operands: Sequence[SSAValue]) -> list[Node]:
    """Returns the nodes between operands and a value, in order; none if it depends on anything else."""
    wanted = set(operands)
    found: dict[Node, None] = {}

    def visit(x: SSAValue) -> bool:
        if x in wanted or isinstance(x.owner, Constant):
            return True
        if not isinstance(x.owner, Node) or x.owner.regions:
            return False
        if x.owner not in found:
            if not all(map(visit, x.owner.operands)):
                return False
            found[x.owner] = None
        return True

    if not visit(value) or not found:
        return []
    return list(_in_order(found))  # JAX adds up cotangents in the reverse of program order


def _index(block: Block) -> dict[Any, Node]:
    """Returns the nodes of a block by what they compute from what."""
    nodes = (op for op in block.ops if isinstance(op, Node))
    keyed = ((key_of(op, op.operands), op) for op in nodes)
    return {key: op for key, op in keyed if key is not None}


# -- the backward as JAX writes it ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Pattern:
    """An idiom differentiated anew: a block from operands and cotangent to its value and gradients."""

    block: Block
    moving: tuple[int, ...]

    @staticmethod
    def of(steps: Sequence[Node], found: Replacement, moving: tuple[int, ...]) -> "_Pattern":
        """Returns the pattern of the steps that compute a value from operands."""
        forward = _as_function(steps, found)
        types = tuple(jax_type(x) for x in found.operands)
        assert steps[-1].equation is not None
        with steps[-1].equation.ctx.manager:
            traced = jax.make_jaxpr(_with_gradients(forward, moving))(types, jax_type(found.value))
        return _Pattern(_block_of(traced), moving)

    def find(self, nodes: Mapping[Any, Node], found: Replacement) -> _Backward | None:
        """Returns where the pattern lies in a graph, its forward on the steps."""
        known = dict(zip(self.block.args, found.operands, strict=False))
        saved = _extend(known, self.block, nodes)
        for ct in self._candidates(known):
            placed = {**known, self.block.args[-1]: ct}
            used = _extend(placed, self.block, nodes)
            gradients = self._gradients(placed)
            if used and any(gradients):
                return _Backward(ct, frozenset(used), frozenset(saved), gradients)
        return None

    def _candidates(self, known: Mapping[SSAValue, SSAValue]) -> Iterator[SSAValue]:
        """Yields values of the graph that may be the cotangent: what meets a known value as it does."""
        unknown = self.block.args[-1]
        tried: set[SSAValue] = set()
        for use in unknown.uses:
            first = use.operation
            others = [x for x in first.operands if x is not unknown]
            if not isinstance(first, Node) or not all(x in known for x in others) or not others:
                continue
            for other in known[others[0]].uses:
                node = other.operation
                same = node.name == first.name and len(node.operands) == len(first.operands)
                ct = node.operands[use.index] if same else None
                if ct is not None and ct.type == unknown.type and ct not in tried:
                    tried.add(ct)
                    yield ct
                if len(tried) >= MOST_CANDIDATES:
                    return

    def _gradients(self, placed: Mapping[SSAValue, SSAValue]) -> tuple[tuple[SSAValue, ...], ...]:
        end = self.block.last_op
        assert isinstance(end, Return)
        return tuple(_terms(x, placed) for x in end.operands[1:])


def _with_gradients(forward: Any, moving: Sequence[int]) -> Any:
    def run(operands: Sequence[Any], ct: Any) -> list[Any]:
        def of_moving(*xs: Any) -> Any:
            mixed = list(operands)
            for i, x in zip(moving, xs, strict=True):
                mixed[i] = x
            return forward(*mixed)

        value, pull = jax.vjp(of_moving, *(operands[i] for i in moving))
        return [value, *pull(ct)]

    return run


def _as_function(steps: Sequence[Node], found: Replacement) -> Any:
    """Returns the steps as a function of the operands, made of their own equations."""
    atoms: dict[SSAValue, Any] = {x: Var(jax_type(x)) for x in found.operands}
    invars = [atoms[x] for x in found.operands]
    constants: list[tuple[Var, Any]] = []
    equations = []
    for node in steps:
        for x in node.operands:
            if isinstance(x.owner, Constant) and x not in atoms:
                atoms[x] = _constant_atom(x.owner, constants)
        assert node.equation is not None
        outvars = [Var(v.aval) for v in node.equation.outvars]
        atoms.update(zip(node.results, outvars, strict=True))
        operands = [atoms[x] for x in node.operands]
        equations.append(node.equation.replace(invars=operands, outvars=outvars))
    jaxpr = compat.new_jaxpr([v for v, _ in constants], invars, [atoms[found.value]], equations)
    arrays = [array for _, array in constants]
    return lambda *xs: compat.evaluate(jaxpr, arrays, *xs)[0]


def _constant_atom(op: Constant, constants: list[tuple[Var, Any]]) -> Any:
    if isinstance(op.atom, Literal):
        return op.atom
    var = Var(op.aval)
    constants.append((var, op.atom))
    return var


def _block_of(traced: Any) -> Block:
    """Returns a traced function as a block, simplified as the graph it is looked for in has been."""
    jaxpr, consts = compat.opened(traced)
    block = Block(arg_types=[type_of(v.aval) for v in jaxpr.invars])
    results = add_equations(block, jaxpr, consts, block.args)
    block.add_op(Return.create(operands=results))
    fold_block(block)
    merge_block(block)
    prune_block(block)
    return block


# -- looking it up -------------------------------------------------------------------------------------


def _extend(placed: dict[SSAValue, SSAValue], block: Block, nodes: Mapping[Any, Node]) -> set[Node]:
    """Adds the values of a pattern whose operands are placed and that the graph computes too."""
    used: set[Node] = set()
    for op in block.ops:
        if not isinstance(op, Node) or op.results[0] in placed:
            continue
        if not all(_is_known(x, placed) for x in op.operands):
            continue
        key = key_of(op, [placed.get(x, x) for x in op.operands])
        match = nodes.get(key) if key is not None else None
        if match is not None:
            placed.update(zip(op.results, match.results, strict=True))
            used.add(match)
    return used


def _is_known(x: SSAValue, placed: Mapping[SSAValue, SSAValue]) -> bool:
    return x in placed or isinstance(x.owner, Constant)  # constants are told by their value


def _terms(value: SSAValue, placed: Mapping[SSAValue, SSAValue]) -> tuple[SSAValue, ...]:
    """Returns the values of the graph that add up to a gradient, none where one of them is missing."""
    if value in placed:
        return (placed[value],)
    total = made_by(value, *SUMS)
    if total is None:
        return ()
    parts = [_terms(x, placed) for x in total.operands]
    return tuple(x for part in parts for x in part) if all(parts) else ()


def _is_whole(found: Replacement, steps: Sequence[Node], backward: _Backward) -> bool:
    """Whether the steps are read by each other and by the backward alone, and sums can lose a term.

    What depends on constants alone, such as a mask, may be read by anyone.
    """
    inside = {*steps, *backward.nodes, *backward.saved}
    moving = _dependent(found, [op for op in _in_order(inside) if op not in backward.nodes])
    for node in moving:
        for result in node.results:
            if result is not found.value and any(u.operation not in inside for u in result.uses):
                return False
    return all(_can_drop(x) for terms in backward.gradients if len(terms) > 1 for x in terms[1:])


def _dependent(found: Replacement, nodes: Iterable[Node]) -> list[Node]:
    """Returns the nodes that depend on an operand, of nodes in program order."""
    values = set(found.operands)
    depend: list[Node] = []
    for node in nodes:
        if any(x in values for x in node.operands):
            values.update(node.results)
            depend.append(node)
    return depend


def _in_order(nodes: Collection[Node]) -> Iterator[Node]:
    block = next(iter(nodes)).parent
    assert block is not None
    return (op for op in block.ops if isinstance(op, Node) and op in nodes)


def _can_drop(term: SSAValue) -> bool:
    users = [use.operation for use in term.uses]
    return len(users) == 1 and users[0].name.removeprefix("jax.") in SUMS


# -- putting the op in its place -----------------------------------------------------------------------


def _put(found: Replacement, anchor: Node, moving: tuple[int, ...], backward: _Backward) -> None:
    types = tuple(jax_type(x) for x in found.operands)
    assert anchor.equation is not None
    traced = _traced(
        Build.of(found.build), moving, types, jax_type(found.value), anchor.equation.ctx
    )
    jaxpr, consts = compat.opened(traced)
    block = Block()
    value, *gradients = add_equations(block, jaxpr, consts, [*found.operands, backward.ct])
    first = next(_in_order(backward.nodes))
    late: set[SSAValue] = {backward.ct}
    for op in tuple(block.ops):
        is_late = any(x in late for x in op.operands)
        late.update(op.results if is_late else ())
        op.detach()
        place = first if is_late else anchor
        attribute_to(op, place)
        Rewriter.insert_op(op, InsertPoint.before(place))
    found.value.replace_all_uses_with(value)
    for terms, gradient in zip(backward.gradients, gradients, strict=True):
        if terms:
            _replace_sum(terms, gradient)
    for node in (*backward.nodes, anchor):
        if node.parent is not None:
            erase_if_dead(node)


@lru_cache(256)
def _traced(
    build: Build, moving: tuple[int, ...], types: tuple[Any, ...], wanted: Any, context: Any
) -> Any:
    with context.manager:
        return jax.make_jaxpr(_with_gradients(build, moving))(types, wanted)


def _replace_sum(terms: Sequence[SSAValue], gradient: SSAValue) -> None:
    """Puts a gradient in the place of the first of its terms and takes the others out of their sums."""
    for term in terms[1:]:
        (use,) = term.uses
        total = use.operation
        rest = total.operands[1 - use.index]
        total.results[0].replace_all_uses_with(rest)
    terms[0].replace_all_uses_with(gradient)
