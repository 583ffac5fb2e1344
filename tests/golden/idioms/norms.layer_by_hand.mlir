builtin.module attributes {level = "graph", sym_name = "main"} {
  "tessera.graph.func"() ({
  ^bb0(%x: tensor<4x6x8xf32>, %w: tensor<8xf32>, %b: tensor<8xf32>):
    %0 = "tessera.graph.layernorm"(%x, %w, %b) {eps = 1.000000e-05 : f64} : (tensor<4x6x8xf32>, tensor<8xf32>, tensor<8xf32>) -> tensor<4x6x8xf32>
    "tessera.graph.return"(%0) : (tensor<4x6x8xf32>) -> ()
  }) {sym_name = "main", function_type = (tensor<4x6x8xf32>, tensor<8xf32>, tensor<8xf32>) -> tensor<4x6x8xf32>} : () -> ()
}
