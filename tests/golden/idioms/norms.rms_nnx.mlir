builtin.module attributes {level = "graph", sym_name = "main"} {
  "tessera.graph.func"() ({
  ^bb0(%x: tensor<4x6x8xf32>, %vectors.0: tensor<8xf32>):
    %0 = "tessera.graph.rmsnorm"(%x, %vectors.0) {eps = 1.000000e-06 : f64} : (tensor<4x6x8xf32>, tensor<8xf32>) -> tensor<4x6x8xf32>
    "tessera.graph.return"(%0) : (tensor<4x6x8xf32>) -> ()
  }) {sym_name = "main", function_type = (tensor<4x6x8xf32>, tensor<8xf32>) -> tensor<4x6x8xf32>} : () -> ()
}
