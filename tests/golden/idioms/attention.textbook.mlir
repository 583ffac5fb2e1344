builtin.module attributes {level = "graph", sym_name = "main"} {
  "tessera.graph.func"() ({
  ^bb0(%q: tensor<2x2x384x4xf32>, %k: tensor<2x2x384x4xf32>, %v: tensor<2x2x384x4xf32>):
    %0 = "jax.reshape"(%q) {params = "new_sizes=(2, 2, 1, 384, 4)"} : (tensor<2x2x384x4xf32>) -> tensor<2x2x1x384x4xf32>
    %1 = "tessera.graph.flash_attention"(%0, %k, %v) {present = [true, true, true, false, false], causal = true, scale = 5.000000e-01 : f64} : (tensor<2x2x1x384x4xf32>, tensor<2x2x384x4xf32>, tensor<2x2x384x4xf32>) -> tensor<2x2x1x384x4xf32>
    %2 = "jax.reshape"(%1) {params = "new_sizes=(2, 2, 384, 4)"} : (tensor<2x2x1x384x4xf32>) -> tensor<2x2x384x4xf32>
    "tessera.graph.return"(%2) : (tensor<2x2x384x4xf32>) -> ()
  }) {sym_name = "main", function_type = (tensor<2x2x384x4xf32>, tensor<2x2x384x4xf32>, tensor<2x2x384x4xf32>) -> tensor<2x2x384x4xf32>} : () -> ()
}
