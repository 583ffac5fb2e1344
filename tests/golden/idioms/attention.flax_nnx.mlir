builtin.module attributes {level = "graph", sym_name = "main"} {
  "tessera.graph.func"() ({
  ^bb0(%q: tensor<2x384x2x4xf32>, %k: tensor<2x384x2x4xf32>, %v: tensor<2x384x2x4xf32>):
    %0 = "jax.reshape"(%q) {params = "new_sizes=(2, 384, 2, 1, 4)"} : (tensor<2x384x2x4xf32>) -> tensor<2x384x2x1x4xf32>
    %1 = "jax.reshape"(%0) {params = "new_sizes=(2, 384, 2, 4)"} : (tensor<2x384x2x1x4xf32>) -> tensor<2x384x2x4xf32>
    %2 = "jax.transpose"(%1) {params = "permutation=(0, 2, 1, 3)"} : (tensor<2x384x2x4xf32>) -> tensor<2x2x384x4xf32>
    %3 = "jax.transpose"(%k) {params = "permutation=(0, 2, 1, 3)"} : (tensor<2x384x2x4xf32>) -> tensor<2x2x384x4xf32>
    %4 = "jax.transpose"(%v) {params = "permutation=(0, 2, 1, 3)"} : (tensor<2x384x2x4xf32>) -> tensor<2x2x384x4xf32>
    %5 = "jax.reshape"(%2) {params = "new_sizes=(2, 2, 1, 384, 4)"} : (tensor<2x2x384x4xf32>) -> tensor<2x2x1x384x4xf32>
    %6 = "tessera.graph.flash_attention"(%5, %3, %4) {present = [true, true, true, false, false], causal = true, scale = 5.000000e-01 : f64} : (tensor<2x2x1x384x4xf32>, tensor<2x2x384x4xf32>, tensor<2x2x384x4xf32>) -> tensor<2x2x1x384x4xf32>
    %7 = "jax.reshape"(%6) {params = "new_sizes=(2, 2, 384, 4)"} : (tensor<2x2x1x384x4xf32>) -> tensor<2x2x384x4xf32>
    %8 = "jax.transpose"(%7) {params = "permutation=(0, 1, 3, 2)"} : (tensor<2x2x384x4xf32>) -> tensor<2x2x4x384xf32>
    %9 = "jax.reshape"(%8) {params = "new_sizes=(2, 2, 4, 1, 384)"} : (tensor<2x2x4x384xf32>) -> tensor<2x2x4x1x384xf32>
    %10 = "jax.transpose"(%9) {params = "permutation=(3, 0, 4, 1, 2)"} : (tensor<2x2x4x1x384xf32>) -> tensor<1x2x384x2x4xf32>
    %11 = "jax.transpose"(%10) {params = "permutation=(1, 2, 3, 0, 4)"} : (tensor<1x2x384x2x4xf32>) -> tensor<2x384x2x1x4xf32>
    %12 = "jax.reshape"(%11) {params = "new_sizes=(2, 384, 2, 4)"} : (tensor<2x384x2x1x4xf32>) -> tensor<2x384x2x4xf32>
    "tessera.graph.return"(%12) : (tensor<2x384x2x4xf32>) -> ()
  }) {sym_name = "main", function_type = (tensor<2x384x2x4xf32>, tensor<2x384x2x4xf32>, tensor<2x384x2x4xf32>) -> tensor<2x384x2x4xf32>} : () -> ()
}
