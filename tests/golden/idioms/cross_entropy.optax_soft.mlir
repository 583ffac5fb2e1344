builtin.module attributes {level = "graph", sym_name = "main"} {
  "tessera.graph.func"() ({
  ^bb0(%x: tensor<6x5xf32>, %y: tensor<6xi32>):
    %0 = "jax.broadcast_in_dim"(%y) {params = "shape=(6, 1) broadcast_dimensions=(0,)"} : (tensor<6xi32>) -> tensor<6x1xi32>
    %1 = "jax.reshape"(%0) {params = "new_sizes=(6,)"} : (tensor<6x1xi32>) -> tensor<6xi32>
    %2 = "tessera.graph.constant"() {value = 0 : i32} : () -> tensor<i32>
    %3 = "jax.ge"(%1, %2) : (tensor<6xi32>, tensor<i32>) -> tensor<6xi1>
    %4 = "tessera.graph.constant"() {value = 5 : i32} : () -> tensor<i32>
    %5 = "jax.lt"(%1, %4) : (tensor<6xi32>, tensor<i32>) -> tensor<6xi1>
    %6 = "jax.and"(%3, %5) : (tensor<6xi1>, tensor<6xi1>) -> tensor<6xi1>
    %7 = "jax.max"(%2, %1) : (tensor<i32>, tensor<6xi32>) -> tensor<6xi32>
    %8 = "tessera.graph.constant"() {value = 4 : i32} : () -> tensor<i32>
    %9 = "jax.min"(%8, %7) : (tensor<i32>, tensor<6xi32>) -> tensor<6xi32>
    %10 = "tessera.graph.cross_entropy"(%x, %9) {present = [true, true, false]} : (tensor<6x5xf32>, tensor<6xi32>) -> tensor<6xf32>
    %11 = "tessera.graph.constant"() {value = 0.000000e+00 : f32} : () -> tensor<f32>
    %12 = "jax.broadcast_in_dim"(%11) {params = "shape=(6,)"} : (tensor<f32>) -> tensor<6xf32>
    %13 = "jax.select_n"(%6, %12, %10) : (tensor<6xi1>, tensor<6xf32>, tensor<6xf32>) -> tensor<6xf32>
    %14 = "jax.neg"(%13) : (tensor<6xf32>) -> tensor<6xf32>
    %15 = "jax.neg"(%14) : (tensor<6xf32>) -> tensor<6xf32>
    %16 = "jax.reduce_sum"(%15) {params = "axes=(0,)"} : (tensor<6xf32>) -> tensor<f32>
    %17 = "tessera.graph.constant"() {value = 6.000000e+00 : f32} : () -> tensor<f32>
    %18 = "jax.div"(%16, %17) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "tessera.graph.return"(%18) : (tensor<f32>) -> ()
  }) {sym_name = "main", function_type = (tensor<6x5xf32>, tensor<6xi32>) -> tensor<f32>} : () -> ()
}
