builtin.module attributes {level = "graph", sym_name = "main"} {
  "tessera.graph.func"() ({
  ^bb0(%q: tensor<2x384x2x4xf32>, %k: tensor<2x384x2x4xf32>, %v: tensor<2x384x2x4xf32>):
    %0 = "jax.transpose"(%q) {params = "permutation=(0, 2, 1, 3)"} : (tensor<2x384x2x4xf32>) -> tensor<2x2x384x4xf32>
    %1 = "jax.transpose"(%k) {params = "permutation=(0, 2, 1, 3)"} : (tensor<2x384x2x4xf32>) -> tensor<2x2x384x4xf32>
    %2 = "jax.transpose"(%v) {params = "permutation=(0, 2, 1, 3)"} : (tensor<2x384x2x4xf32>) -> tensor<2x2x384x4xf32>
    %3 = "jax.reshape"(%0) {params = "new_sizes=(2, 2, 1, 384, 4)"} : (tensor<2x2x384x4xf32>) -> tensor<2x2x1x384x4xf32>
    %4 = "tessera.graph.flash_attention"(%3, %1, %2) {present = [true, true, true, false, false], causal = true, scale = 5.000000e-01 : f64} : (tensor<2x2x1x384x4xf32>, tensor<2x2x384x4xf32>, tensor<2x2x384x4xf32>) -> tensor<2x2x1x384x4xf32>
    %5 = "jax.reshape"(%4) {params = "new_sizes=(2, 2, 384, 4)"} : (tensor<2x2x1x384x4xf32>) -> tensor<2x2x384x4xf32>
    %6 = "jax.transpose"(%5) {params = "permutation=(0, 1, 3, 2)"} : (tensor<2x2x384x4xf32>) -> tensor<2x2x4x384xf32>
    %7 = "jax.transpose"(%6) {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x2x4x384xf32>) -> tensor<2x384x2x4xf32>
    "tessera.graph.return"(%7) : (tensor<2x384x2x4xf32>) -> ()
  }) {sym_name = "main", function_type = (tensor<2x384x2x4xf32>, tensor<2x384x2x4xf32>, tensor<2x384x2x4xf32>) -> tensor<2x384x2x4xf32>} : () -> ()
}
