builtin.module attributes {level = "graph", sym_name = "main"} {
  "tessera.graph.func"() ({
  ^bb0(%x: tensor<4x6x8xf32>, %w: tensor<8xf32>):
    %0 = "tessera.graph.constant"() {value = 1.000000e+00 : f32} : () -> tensor<f32>
    %1 = "jax.add"(%0, %w) : (tensor<f32>, tensor<8xf32>) -> tensor<8xf32>
    %2 = "tessera.graph.rmsnorm"(%x, %1) {eps = 1.000000e-05 : f64} : (tensor<4x6x8xf32>, tensor<8xf32>) -> tensor<4x6x8xf32>
    "tessera.graph.return"(%2) : (tensor<4x6x8xf32>) -> ()
  }) {sym_name = "main", function_type = (tensor<4x6x8xf32>, tensor<8xf32>) -> tensor<4x6x8xf32>} : () -> ()
}
