module @dense attributes {level = "schedule"} {
  tessera.graph.func @dense(%x: tensor<32x64xf32>, %w: tensor<64x16xf32>, %b: tensor<16xf32>) -> tensor<32x16xf32> {
    %0 = tessera.schedule.fuse(%x_1 = %x, %w_1 = %w, %b_1 = %b) {pattern = "matmul", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 32, 16>, flops = 66560 : i64, bytes = 14400 : i64, seconds = 1.440000e-06 : f64} : (tensor<32x64xf32>, tensor<64x16xf32>, tensor<16xf32>) -> tensor<32x16xf32> {
      %1 = tessera.graph.matmul %x_1, %w_1, %b_1 {present = [true, true, true, false], activation = "relu", accumulate = "float32"} : (tensor<32x64xf32>, tensor<64x16xf32>, tensor<16xf32>) -> tensor<32x16xf32>
      tessera.schedule.yield %1 : tensor<32x16xf32>
    }
    tessera.graph.return %0 : tensor<32x16xf32>
  }
}
