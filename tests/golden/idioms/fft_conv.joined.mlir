builtin.module attributes {level = "graph", sym_name = "main"} {
  "tessera.graph.func"() ({
  ^bb0(%x: tensor<3x5x16x20xf32>, %parts.0: tensor<5x6x4x4xf32>, %parts.1: tensor<5x6x4x4xf32>, %parts.2: tensor<5x6x4x4xf32>, %parts.3: tensor<5x6x4x4xf32>):
    %0 = "jax.transpose"(%parts.0) {params = "permutation=(2, 3, 0, 1)"} : (tensor<5x6x4x4xf32>) -> tensor<4x4x5x6xf32>
    %1 = "jax.transpose"(%parts.1) {params = "permutation=(2, 3, 0, 1)"} : (tensor<5x6x4x4xf32>) -> tensor<4x4x5x6xf32>
    %2 = "jax.transpose"(%parts.2) {params = "permutation=(2, 3, 0, 1)"} : (tensor<5x6x4x4xf32>) -> tensor<4x4x5x6xf32>
    %3 = "jax.transpose"(%parts.3) {params = "permutation=(2, 3, 0, 1)"} : (tensor<5x6x4x4xf32>) -> tensor<4x4x5x6xf32>
    %4 = "jax.concatenate"(%0, %2) {params = "dimension=0"} : (tensor<4x4x5x6xf32>, tensor<4x4x5x6xf32>) -> tensor<8x4x5x6xf32>
    %5 = "jax.concatenate"(%1, %3) {params = "dimension=0"} : (tensor<4x4x5x6xf32>, tensor<4x4x5x6xf32>) -> tensor<8x4x5x6xf32>
    %6 = "tessera.graph.spectral_conv"(%x, %4, %5) {axis = 1 : i64} : (tensor<3x5x16x20xf32>, tensor<8x4x5x6xf32>, tensor<8x4x5x6xf32>) -> tensor<3x6x16x20xf32>
    "tessera.graph.return"(%6) : (tensor<3x6x16x20xf32>) -> ()
  }) {sym_name = "main", function_type = (tensor<3x5x16x20xf32>, tensor<5x6x4x4xf32>, tensor<5x6x4x4xf32>, tensor<5x6x4x4xf32>, tensor<5x6x4x4xf32>) -> tensor<3x6x16x20xf32>} : () -> ()
}
