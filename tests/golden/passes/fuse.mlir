module @f attributes {level = "schedule"} {
  tessera.graph.func @f(%x: tensor<8x96xf32>, %w: tensor<96x4xf32>, %r: tensor<8x4xf32>) -> tensor<8x4xf32> {
    %0 = tessera.schedule.fuse(%x_1 = %x, %w_1 = %w, %r_1 = %r) {pattern = "exp+matmul+mul+add"} : (tensor<8x96xf32>, tensor<96x4xf32>, tensor<8x4xf32>) -> tensor<8x4xf32> {
      %1 = tessera.graph.constant {value = 2.000000e+00 : f32} : () -> tensor<f32>
      %2 = jax.exp %x_1 : (tensor<8x96xf32>) -> tensor<8x96xf32>
      %3 = tessera.graph.matmul %2, %w_1 {present = [true, true, false, false], accumulate = "float32"} : (tensor<8x96xf32>, tensor<96x4xf32>) -> tensor<8x4xf32>
      %4 = jax.mul %3, %1 : (tensor<8x4xf32>, tensor<f32>) -> tensor<8x4xf32>
      %5 = jax.add %4, %r_1 : (tensor<8x4xf32>, tensor<8x4xf32>) -> tensor<8x4xf32>
      tessera.schedule.yield %5 : tensor<8x4xf32>
    }
    %6 = tessera.schedule.fuse(%7 = %0) {pattern = "softmax"} : (tensor<8x4xf32>) -> tensor<8x4xf32> {
      %8 = tessera.graph.softmax %7 {axis = 1 : i64, stable = true} : (tensor<8x4xf32>) -> tensor<8x4xf32>
      tessera.schedule.yield %8 : tensor<8x4xf32>
    }
    tessera.graph.return %6 : tensor<8x4xf32>
  }
}
