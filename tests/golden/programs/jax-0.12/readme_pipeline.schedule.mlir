module @pipeline attributes {level = "schedule"} {
  tessera.graph.func @pipeline(%x: tensor<1024x1024xf32>) -> tensor<1024x1024xf32> {
    %0 = tessera.schedule.pipeline(%x_1 = %x) {double_buffer = true, pattern = "matmul", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 128, 128>, flops = 2148532224 : i64, bytes = 16777216 : i64, seconds = 0.02148532224 : f64} : (tensor<1024x1024xf32>) -> tensor<1024x1024xf32> {
      %1 = jax.transpose %x_1 {params = "permutation=(1, 0)"} : (tensor<1024x1024xf32>) -> tensor<1024x1024xf32>
      %2 = tessera.graph.matmul %x_1, %1 {present = [true, true, false, false], activation = "relu", accumulate = "float32"} : (tensor<1024x1024xf32>, tensor<1024x1024xf32>) -> tensor<1024x1024xf32>
      tessera.schedule.yield %2 : tensor<1024x1024xf32>
    }
    %3 = tessera.schedule.fuse(%4 = %0) {pattern = "layernorm", runs = "xla", reason = "XLA's own lowering of layernorm is the fastest known", tile = array<i64: 128, 1024>, flops = 5246976 : i64, bytes = 8388608 : i64, seconds = 0.00083886080000000003 : f64} : (tensor<1024x1024xf32>) -> tensor<1024x1024xf32> {
      %5 = tessera.graph.layernorm %4 {present = [true, false, false], eps = 1.000000e-05 : f64} : (tensor<1024x1024xf32>) -> tensor<1024x1024xf32>
      tessera.schedule.yield %5 : tensor<1024x1024xf32>
    }
    tessera.graph.return %3 : tensor<1024x1024xf32>
  }
}
