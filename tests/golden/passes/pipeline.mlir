module @f attributes {level = "schedule"} {
  tessera.graph.func @f(%x: tensor<8x96xf32>, %w: tensor<96x4xf32>, %r: tensor<8x4xf32>) -> tensor<8x4xf32> {
    %0 = tessera.schedule.pipeline(%x_1 = %x, %w_1 = %w, %r_1 = %r) {double_buffer = true, pattern = "exp+matmul+mul+add", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 4>, flops = 6976 : i64, bytes = 4864 : i64, seconds = 4.864000e-07 : f64} : (tensor<8x96xf32>, tensor<96x4xf32>, tensor<8x4xf32>) -> tensor<8x4xf32> {
      %1 = tessera.graph.constant {value = 2.000000e+00 : f32} : () -> tensor<f32>
      %2 = jax.exp %x_1 : (tensor<8x96xf32>) -> tensor<8x96xf32>
      %3 = tessera.graph.matmul %2, %w_1 {present = [true, true, false, false], accumulate = "float32"} : (tensor<8x96xf32>, tensor<96x4xf32>) -> tensor<8x4xf32>
      %4 = jax.mul %3, %1 : (tensor<8x4xf32>, tensor<f32>) -> tensor<8x4xf32>
      %5 = jax.add %4, %r_1 : (tensor<8x4xf32>, tensor<8x4xf32>) -> tensor<8x4xf32>
      tessera.schedule.yield %5 : tensor<8x4xf32>
    }
    %6 = tessera.schedule.fuse(%7 = %0) {pattern = "softmax", runs = "xla", reason = "XLA's own lowering of softmax is the fastest known", tile = array<i64: 8, 4>, flops = 168 : i64, bytes = 256 : i64, seconds = 2.560000e-08 : f64} : (tensor<8x4xf32>) -> tensor<8x4xf32> {
      %8 = tessera.graph.softmax %7 {axis = 1 : i64, stable = true} : (tensor<8x4xf32>) -> tensor<8x4xf32>
      tessera.schedule.yield %8 : tensor<8x4xf32>
    }
    tessera.graph.return %6 : tensor<8x4xf32>
  }
}
