builtin.module attributes {level = "graph", sym_name = "main"} {
  "tessera.graph.func"() ({
  ^bb0(%x: tensor<48x5x24xf32>, %parts.0: tensor<5x6x4xf32>, %parts.1: tensor<5x6x4xf32>):
    %0 = "jax.transpose"(%parts.0) {params = "permutation=(2, 0, 1)"} : (tensor<5x6x4xf32>) -> tensor<4x5x6xf32>
    %1 = "jax.transpose"(%parts.1) {params = "permutation=(2, 0, 1)"} : (tensor<5x6x4xf32>) -> tensor<4x5x6xf32>
    %2 = "tessera.graph.spectral_conv"(%x, %0, %1) {axis = 1 : i64} : (tensor<48x5x24xf32>, tensor<4x5x6xf32>, tensor<4x5x6xf32>) -> tensor<48x6x24xf32>
    "tessera.graph.return"(%2) : (tensor<48x6x24xf32>) -> ()
  }) {sym_name = "main", function_type = (tensor<48x5x24xf32>, tensor<5x6x4xf32>, tensor<5x6x4xf32>) -> tensor<48x6x24xf32>} : () -> ()
}
