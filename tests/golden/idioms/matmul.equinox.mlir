builtin.module attributes {level = "graph", sym_name = "main"} {
  "tessera.graph.func"() ({
  ^bb0(%x: tensor<3x7x8xf32>, %w: tensor<8x6xf32>, %b: tensor<6xf32>, %r: tensor<3x7x6xf32>):
    %0 = "jax.transpose"(%w) {params = "permutation=(1, 0)"} : (tensor<8x6xf32>) -> tensor<6x8xf32>
    %1 = "jax.transpose"(%0) {params = "permutation=(1, 0)"} : (tensor<6x8xf32>) -> tensor<8x6xf32>
    %2 = "tessera.graph.matmul"(%x, %1, %b) {present = [true, true, true, false], activation = "silu", accumulate = "float32"} : (tensor<3x7x8xf32>, tensor<8x6xf32>, tensor<6xf32>) -> tensor<3x7x6xf32>
    "tessera.graph.return"(%2) : (tensor<3x7x6xf32>) -> ()
  }) {sym_name = "main", function_type = (tensor<3x7x8xf32>, tensor<8x6xf32>, tensor<6xf32>, tensor<3x7x6xf32>) -> tensor<3x7x6xf32>} : () -> ()
}
