builtin.module attributes {level = "graph", sym_name = "main"} {
  "tessera.graph.func"() ({
  ^bb0(%x: tensor<6x5xf32>, %y: tensor<6xi32>):
    %0 = "jax.broadcast_in_dim"(%y) {params = "shape=(6, 1) broadcast_dimensions=(0,)"} : (tensor<6xi32>) -> tensor<6x1xi32>
    %1 = "tessera.graph.constant"() {value = 0 : i32} : () -> tensor<i32>
    %2 = "jax.lt"(%0, %1) : (tensor<6x1xi32>, tensor<i32>) -> tensor<6x1xi1>
    %3 = "tessera.graph.constant"() {value = 5 : i32} : () -> tensor<i32>
    %4 = "jax.add"(%0, %3) : (tensor<6x1xi32>, tensor<i32>) -> tensor<6x1xi32>
    %5 = "jax.select_n"(%2, %0, %4) : (tensor<6x1xi1>, tensor<6x1xi32>, tensor<6x1xi32>) -> tensor<6x1xi32>
    %6 = "jax.reshape"(%5) {params = "new_sizes=(6, 1, 1)"} : (tensor<6x1xi32>) -> tensor<6x1x1xi32>
    %7 = "jax.reshape"(%6) {params = "new_sizes=(6,)"} : (tensor<6x1x1xi32>) -> tensor<6xi32>
    %8 = "jax.ge"(%7, %1) : (tensor<6xi32>, tensor<i32>) -> tensor<6xi1>
    %9 = "jax.lt"(%7, %3) : (tensor<6xi32>, tensor<i32>) -> tensor<6xi1>
    %10 = "jax.and"(%8, %9) : (tensor<6xi1>, tensor<6xi1>) -> tensor<6xi1>
    %11 = "jax.max"(%1, %7) : (tensor<i32>, tensor<6xi32>) -> tensor<6xi32>
    %12 = "tessera.graph.constant"() {value = 4 : i32} : () -> tensor<i32>
    %13 = "jax.min"(%12, %11) : (tensor<i32>, tensor<6xi32>) -> tensor<6xi32>
    %14 = "tessera.graph.cross_entropy"(%x, %13) {present = [true, true, false]} : (tensor<6x5xf32>, tensor<6xi32>) -> tensor<6xf32>
    %15 = "tessera.graph.constant"() {value = -1 : i32} : () -> tensor<i32>
    %16 = "jax.broadcast_in_dim"(%15) {params = "shape=(6,)"} : (tensor<i32>) -> tensor<6xi32>
    %17 = "jax.select_n"(%10, %13, %16) : (tensor<6xi1>, tensor<6xi32>, tensor<6xi32>) -> tensor<6xi32>
    %18 = "jax.custom_jvp_call"(%x, %17) ({
    ^bb0(%x_1: tensor<6x5xf32>, %labels: tensor<6xi32>):
      %19 = "tessera.graph.constant"() {value = 0 : i32} : () -> tensor<i32>
      %20 = "jax.ge"(%labels, %19) : (tensor<6xi32>, tensor<i32>) -> tensor<6xi1>
      %21 = "tessera.graph.constant"() {value = "nan"} : () -> tensor<f32>
      %22 = "tessera.graph.constant"() {value = 0.000000e+00 : f32} : () -> tensor<f32>
      %23 = "jax.broadcast_in_dim"(%21) {params = "shape=(6,)"} : (tensor<f32>) -> tensor<6xf32>
      %24 = "jax.broadcast_in_dim"(%22) {params = "shape=(6,)"} : (tensor<f32>) -> tensor<6xf32>
      %25 = "jax.select_n"(%20, %24, %23) : (tensor<6xi1>, tensor<6xf32>, tensor<6xf32>) -> tensor<6xf32>
      %26 = "jax.convert_element_type"(%25) {params = "new_dtype=float32"} : (tensor<6xf32>) -> tensor<6xf32>
      "tessera.graph.return"(%26) : (tensor<6xf32>) -> ()
    }) {params = "name=_without_label"} : (tensor<6x5xf32>, tensor<6xi32>) -> tensor<6xf32>
    %27 = "jax.add"(%14, %18) : (tensor<6xf32>, tensor<6xf32>) -> tensor<6xf32>
    %28 = "jax.reduce_sum"(%27) {params = "axes=(0,)"} : (tensor<6xf32>) -> tensor<f32>
    %29 = "tessera.graph.constant"() {value = 6.000000e+00 : f32} : () -> tensor<f32>
    %30 = "jax.div"(%28, %29) : (tensor<f32>, tensor<f32>) -> tensor<f32>
    "tessera.graph.return"(%30) : (tensor<f32>) -> ()
  }) {sym_name = "main", function_type = (tensor<6x5xf32>, tensor<6xi32>) -> tensor<f32>} : () -> ()
}
