builtin.module attributes {level = "graph", sym_name = "main"} {
  "tessera.graph.func"() ({
  ^bb0(%x: tensor<3x7x8xf32>, %w: tensor<8x6xf32>, %b: tensor<6xf32>, %r: tensor<3x7x6xf32>):
    %0 = "jax.reshape"(%w) {params = "new_sizes=(8, 2, 3)"} : (tensor<8x6xf32>) -> tensor<8x2x3xf32>
    %1 = "jax.reshape"(%b) {params = "new_sizes=(1, 1, 2, 3)"} : (tensor<6xf32>) -> tensor<1x1x2x3xf32>
    %2 = "jax.reshape"(%1) {params = "new_sizes=(6,)"} : (tensor<1x1x2x3xf32>) -> tensor<6xf32>
    %3 = "jax.reshape"(%0) {params = "new_sizes=(8, 6)"} : (tensor<8x2x3xf32>) -> tensor<8x6xf32>
    %4 = "tessera.graph.matmul"(%x, %3, %2) {present = [true, true, true, false], accumulate = "float32"} : (tensor<3x7x8xf32>, tensor<8x6xf32>, tensor<6xf32>) -> tensor<3x7x6xf32>
    %5 = "jax.reshape"(%4) {params = "new_sizes=(3, 7, 2, 3)"} : (tensor<3x7x6xf32>) -> tensor<3x7x2x3xf32>
    %6 = "jax.reshape"(%5) {params = "new_sizes=(3, 7, 6)"} : (tensor<3x7x2x3xf32>) -> tensor<3x7x6xf32>
    "tessera.graph.return"(%6) : (tensor<3x7x6xf32>) -> ()
  }) {sym_name = "main", function_type = (tensor<3x7x8xf32>, tensor<8x6xf32>, tensor<6xf32>, tensor<3x7x6xf32>) -> tensor<3x7x6xf32>} : () -> ()
}
