builtin.module attributes {level = "graph", sym_name = "main"} {
  "tessera.graph.func"() ({
  ^bb0(%x: tensor<4x33xf32>):
    %0 = "tessera.graph.gelu"(%x) {approximate = false} : (tensor<4x33xf32>) -> tensor<4x33xf32>
    "tessera.graph.return"(%0) : (tensor<4x33xf32>) -> ()
  }) {sym_name = "main", function_type = (tensor<4x33xf32>) -> tensor<4x33xf32>} : () -> ()
}
