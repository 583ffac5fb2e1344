"""The three dialects of the compiler, as MLIR: `parse` reads text, `to_text` writes it, `verify` checks it.

A module is at one level, which its header names. Names begin with the dialect; on input `tgraph.`, `tsched.`
and `ttile.` stand for the first three.

    module    ::= module @name attributes {level = "graph" | "schedule" | "tile", profile, mesh} { function* }

    tessera.graph     func · constant · return · <op>, a Tessera op                       pure values
    jax               <primitive>, any other equation, opaque; what it calls is its regions
    tessera.schedule  fuse · pipeline · xla · collective · layout_cast · yield            groups of nodes
    tessera.tile      func · for · load · store · dot · map · reduce · scan               one kernel's program
                      iota · full · cast · transpose · yield

    function  ::= name @symbol (%argument: type, …) -> types attributes {…} { op* }
    node      ::= %result, … = name %operand, … {key = value, …} : (types) -> types region*
    group     ::= %result, … = name (%inner = %operand, …) {pattern, runs, …} : (types) -> types { node* }
    tile op   ::= %result, … = name %operand, … {…} -> types region*
    return, yield ::= name %value, … : types

    type      ::= tensor<2x3xf32>                           an array
                | tensor<?x64xf32, ["n", 64 : i64]>         with a size known by name
                | tensor<4x!tessera.key<"fry">>             of PRNG keys
                | !tessera.other<"Ref{float32[3]}">         what is no array, by JAX's name
                | !tessera.tile.tile<128x64xbf16, shared>   a block, in hbm, shared or reg
                | index                                     a loop or block index

Everything may also be written in MLIR's generic form, which MLIR itself reads too:
`%0 = "tessera.schedule.pipeline"(%A, %B) {double_buffer = true} : (…) -> …`. Its modules put `tessera.`
before their attributes, as MLIR demands. Bare ops are a fragment, which becomes a function.

Read on in graph, schedule and tile (what there is), check (what must hold), printer and parser (how it is
written).
"""

from tessera.ir import graph, schedule, tile
from tessera.ir.check import Finding, findings, verify
from tessera.ir.text import fingerprint, parse, to_text

__all__ = [
    "Finding",
    "findings",
    "fingerprint",
    "graph",
    "parse",
    "schedule",
    "tile",
    "to_text",
    "verify",
]
