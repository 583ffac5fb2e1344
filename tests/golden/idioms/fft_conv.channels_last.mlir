builtin.module attributes {level = "graph", sym_name = "main"} {
  "tessera.graph.func"() ({
  ^bb0(%x: tensor<3x5x16x20xf32>, %parts.0: tensor<5x6x4x4xf32>, %parts.1: tensor<5x6x4x4xf32>, %parts.2: tensor<5x6x4x4xf32>, %parts.3: tensor<5x6x4x4xf32>):
    %0 = "jax.transpose"(%x) {params = "permutation=(0, 2, 3, 1)"} : (tensor<3x5x16x20xf32>) -> tensor<3x16x20x5xf32>
    %1 = "jax.transpose"(%0) {params = "permutation=(0, 3, 1, 2)"} : (tensor<3x16x20x5xf32>) -> tensor<3x5x16x20xf32>
    %2 = "jax.transpose"(%parts.0) {params = "permutation=(2, 3, 0, 1)"} : (tensor<5x6x4x4xf32>) -> tensor<4x4x5x6xf32>
    %3 = "jax.transpose"(%parts.1) {params = "permutation=(2, 3, 0, 1)"} : (tensor<5x6x4x4xf32>) -> tensor<4x4x5x6xf32>
    %4 = "jax.transpose"(%parts.2) {params = "permutation=(2, 3, 0, 1)"} : (tensor<5x6x4x4xf32>) -> tensor<4x4x5x6xf32>
    %5 = "jax.transpose"(%parts.3) {params = "permutation=(2, 3, 0, 1)"} : (tensor<5x6x4x4xf32>) -> tensor<4x4x5x6xf32>
    %6 = "jax.concatenate"(%2, %4) {params = "dimension=0"} : (tensor<4x4x5x6xf32>, tensor<4x4x5x6xf32>) -> tensor<8x4x5x6xf32>
    %7 = "jax.concatenate"(%3, %5) {params = "dimension=0"} : (tensor<4x4x5x6xf32>, tensor<4x4x5x6xf32>) -> tensor<8x4x5x6xf32>
    %8 = "jax.transpose"(%1) {params = "permutation=(0, 2, 3, 1)"} : (tensor<3x5x16x20xf32>) -> tensor<3x16x20x5xf32>
    %9 = "tessera.graph.spectral_conv"(%8, %6, %7) {axis = 3 : i64} : (tensor<3x16x20x5xf32>, tensor<8x4x5x6xf32>, tensor<8x4x5x6xf32>) -> tensor<3x16x20x6xf32>
    %10 = "jax.transpose"(%9) {params = "permutation=(0, 3, 1, 2)"} : (tensor<3x16x20x6xf32>) -> tensor<3x6x16x20xf32>
    %11 = "jax.transpose"(%10) {params = "permutation=(0, 2, 3, 1)"} : (tensor<3x6x16x20xf32>) -> tensor<3x16x20x6xf32>
    %12 = "jax.transpose"(%11) {params = "permutation=(0, 3, 1, 2)"} : (tensor<3x16x20x6xf32>) -> tensor<3x6x16x20xf32>
    "tessera.graph.return"(%12) : (tensor<3x6x16x20xf32>) -> ()
  }) {sym_name = "main", function_type = (tensor<3x5x16x20xf32>, tensor<5x6x4x4xf32>, tensor<5x6x4x4xf32>, tensor<5x6x4x4xf32>, tensor<5x6x4x4xf32>) -> tensor<3x6x16x20xf32>} : () -> ()
}
