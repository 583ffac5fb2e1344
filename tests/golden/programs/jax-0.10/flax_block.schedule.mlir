module @loss attributes {level = "schedule"} {
  tessera.graph.func @loss(%params.params.Block_0.Dense_0.bias: tensor<64xf32>, %params.params.Block_0.Dense_0.kernel: tensor<256x64xf32>, %params.params.Block_0.Dense_1.bias: tensor<256xf32>, %params.params.Block_0.Dense_1.kernel: tensor<64x256xf32>, %params.params.Block_0.LayerNorm_0.bias: tensor<64xf32>, %params.params.Block_0.LayerNorm_0.scale: tensor<64xf32>, %params.params.Block_0.LayerNorm_1.bias: tensor<64xf32>, %params.params.Block_0.LayerNorm_1.scale: tensor<64xf32>, %params.params.Block_0.MultiHeadDotProductAttention_0.key.bias: tensor<4x16xf32>, %params.params.Block_0.MultiHeadDotProductAttention_0.key.kernel: tensor<64x4x16xf32>, %params.params.Block_0.MultiHeadDotProductAttention_0.out.bias: tensor<64xf32>, %params.params.Block_0.MultiHeadDotProductAttention_0.out.kernel: tensor<4x16x64xf32>, %params.params.Block_0.MultiHeadDotProductAttention_0.query.bias: tensor<4x16xf32>, %params.params.Block_0.MultiHeadDotProductAttention_0.query.kernel: tensor<64x4x16xf32>, %params.params.Block_0.MultiHeadDotProductAttention_0.value.bias: tensor<4x16xf32>, %params.params.Block_0.MultiHeadDotProductAttention_0.value.kernel: tensor<64x4x16xf32>, %x: tensor<1x512x64xf32>, %target: tensor<1x512x64xf32>) -> tensor<f32> {
    %0 = tessera.schedule.fuse(%x_1 = %x, %params.params.Block_0.LayerNorm_0.scale_1 = %params.params.Block_0.LayerNorm_0.scale, %params.params.Block_0.LayerNorm_0.bias_1 = %params.params.Block_0.LayerNorm_0.bias) {pattern = "layernorm", runs = "xla", reason = "XLA's own lowering of layernorm is the fastest known", tile = array<i64: 128, 64>, flops = 231424 : i64, bytes = 262656 : i64, seconds = 2.626560e-05 : f64} : (tensor<1x512x64xf32>, tensor<64xf32>, tensor<64xf32>) -> tensor<1x512x64xf32> {
      %1 = tessera.graph.layernorm %x_1, %params.params.Block_0.LayerNorm_0.scale_1, %params.params.Block_0.LayerNorm_0.bias_1 {eps = 1.000000e-06 : f64} : (tensor<1x512x64xf32>, tensor<64xf32>, tensor<64xf32>) -> tensor<1x512x64xf32>
      tessera.schedule.yield %1 : tensor<1x512x64xf32>
    }
    %2 = tessera.schedule.fuse(%params.params.Block_0.MultiHeadDotProductAttention_0.query.kernel_1 = %params.params.Block_0.MultiHeadDotProductAttention_0.query.kernel, %params.params.Block_0.MultiHeadDotProductAttention_0.query.bias_1 = %params.params.Block_0.MultiHeadDotProductAttention_0.query.bias, %3 = %0) {pattern = "matmul", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 128, 64>, flops = 4227072 : i64, bytes = 409856 : i64, seconds = 4.2270720000000003e-05 : f64} : (tensor<64x4x16xf32>, tensor<4x16xf32>, tensor<1x512x64xf32>) -> tensor<1x4x1x512x16xf32> {
      %4 = jax.reshape %params.params.Block_0.MultiHeadDotProductAttention_0.query.kernel_1 {params = "new_sizes=(64, 64)"} : (tensor<64x4x16xf32>) -> tensor<64x64xf32>
      %5 = jax.reshape %params.params.Block_0.MultiHeadDotProductAttention_0.query.bias_1 {params = "new_sizes=(64,)"} : (tensor<4x16xf32>) -> tensor<64xf32>
      %6 = tessera.graph.matmul %3, %4, %5 {present = [true, true, true, false], accumulate = "float32"} : (tensor<1x512x64xf32>, tensor<64x64xf32>, tensor<64xf32>) -> tensor<1x512x64xf32>
      %7 = jax.reshape %6 {params = "new_sizes=(1, 512, 4, 16)"} : (tensor<1x512x64xf32>) -> tensor<1x512x4x16xf32>
      %8 = jax.reshape %7 {params = "new_sizes=(512, 4, 16)"} : (tensor<1x512x4x16xf32>) -> tensor<512x4x16xf32>
      %9 = jax.transpose %8 {params = "permutation=(1, 0, 2)"} : (tensor<512x4x16xf32>) -> tensor<4x512x16xf32>
      %10 = jax.reshape %9 {params = "new_sizes=(1, 4, 512, 16)"} : (tensor<4x512x16xf32>) -> tensor<1x4x512x16xf32>
      %11 = jax.reshape %10 {params = "new_sizes=(1, 4, 1, 512, 16)"} : (tensor<1x4x512x16xf32>) -> tensor<1x4x1x512x16xf32>
      tessera.schedule.yield %11 : tensor<1x4x1x512x16xf32>
    }
    %12 = tessera.schedule.fuse(%params.params.Block_0.MultiHeadDotProductAttention_0.key.kernel_1 = %params.params.Block_0.MultiHeadDotProductAttention_0.key.kernel, %params.params.Block_0.MultiHeadDotProductAttention_0.key.bias_1 = %params.params.Block_0.MultiHeadDotProductAttention_0.key.bias, %13 = %0) {pattern = "matmul", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 128, 64>, flops = 4227072 : i64, bytes = 409856 : i64, seconds = 4.2270720000000003e-05 : f64} : (tensor<64x4x16xf32>, tensor<4x16xf32>, tensor<1x512x64xf32>) -> tensor<1x4x512x16xf32> {
      %14 = jax.reshape %params.params.Block_0.MultiHeadDotProductAttention_0.key.kernel_1 {params = "new_sizes=(64, 64)"} : (tensor<64x4x16xf32>) -> tensor<64x64xf32>
      %15 = jax.reshape %params.params.Block_0.MultiHeadDotProductAttention_0.key.bias_1 {params = "new_sizes=(64,)"} : (tensor<4x16xf32>) -> tensor<64xf32>
      %16 = tessera.graph.matmul %13, %14, %15 {present = [true, true, true, false], accumulate = "float32"} : (tensor<1x512x64xf32>, tensor<64x64xf32>, tensor<64xf32>) -> tensor<1x512x64xf32>
      %17 = jax.reshape %16 {params = "new_sizes=(1, 512, 4, 16)"} : (tensor<1x512x64xf32>) -> tensor<1x512x4x16xf32>
      %18 = jax.reshape %17 {params = "new_sizes=(512, 4, 16)"} : (tensor<1x512x4x16xf32>) -> tensor<512x4x16xf32>
      %19 = jax.transpose %18 {params = "permutation=(1, 0, 2)"} : (tensor<512x4x16xf32>) -> tensor<4x512x16xf32>
      %20 = jax.reshape %19 {params = "new_sizes=(1, 4, 512, 16)"} : (tensor<4x512x16xf32>) -> tensor<1x4x512x16xf32>
      tessera.schedule.yield %20 : tensor<1x4x512x16xf32>
    }
    %21 = tessera.schedule.fuse(%params.params.Block_0.MultiHeadDotProductAttention_0.value.kernel_1 = %params.params.Block_0.MultiHeadDotProductAttention_0.value.kernel, %params.params.Block_0.MultiHeadDotProductAttention_0.value.bias_1 = %params.params.Block_0.MultiHeadDotProductAttention_0.value.bias, %22 = %0) {pattern = "matmul", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 128, 64>, flops = 4227072 : i64, bytes = 409856 : i64, seconds = 4.2270720000000003e-05 : f64} : (tensor<64x4x16xf32>, tensor<4x16xf32>, tensor<1x512x64xf32>) -> tensor<1x4x512x16xf32> {
      %23 = jax.reshape %params.params.Block_0.MultiHeadDotProductAttention_0.value.kernel_1 {params = "new_sizes=(64, 64)"} : (tensor<64x4x16xf32>) -> tensor<64x64xf32>
      %24 = jax.reshape %params.params.Block_0.MultiHeadDotProductAttention_0.value.bias_1 {params = "new_sizes=(64,)"} : (tensor<4x16xf32>) -> tensor<64xf32>
      %25 = tessera.graph.matmul %22, %23, %24 {present = [true, true, true, false], accumulate = "float32"} : (tensor<1x512x64xf32>, tensor<64x64xf32>, tensor<64xf32>) -> tensor<1x512x64xf32>
      %26 = jax.reshape %25 {params = "new_sizes=(1, 512, 4, 16)"} : (tensor<1x512x64xf32>) -> tensor<1x512x4x16xf32>
      %27 = jax.reshape %26 {params = "new_sizes=(512, 4, 16)"} : (tensor<1x512x4x16xf32>) -> tensor<512x4x16xf32>
      %28 = jax.transpose %27 {params = "permutation=(1, 0, 2)"} : (tensor<512x4x16xf32>) -> tensor<4x512x16xf32>
      %29 = jax.reshape %28 {params = "new_sizes=(1, 4, 512, 16)"} : (tensor<4x512x16xf32>) -> tensor<1x4x512x16xf32>
      tessera.schedule.yield %29 : tensor<1x4x512x16xf32>
    }
    %30 = tessera.schedule.fuse(%31 = %2, %32 = %12, %33 = %21) {pattern = "flash_attention", runs = "tile", reason = "the tile program of flash_attention is for these sizes on cpu", tile = array<i64: 128, 16>, inner = 128 : i64, flops = 72425472 : i64, bytes = 786432 : i64, seconds = 0.00072425471999999996 : f64} : (tensor<1x4x1x512x16xf32>, tensor<1x4x512x16xf32>, tensor<1x4x512x16xf32>) -> tensor<1x512x64xf32> {
      %34 = tessera.graph.flash_attention %31, %32, %33 {present = [true, true, true, false, false], causal = true, scale = 2.500000e-01 : f64} : (tensor<1x4x1x512x16xf32>, tensor<1x4x512x16xf32>, tensor<1x4x512x16xf32>) -> tensor<1x4x1x512x16xf32>
      %35 = jax.reshape %34 {params = "new_sizes=(1, 4, 512, 16)"} : (tensor<1x4x1x512x16xf32>) -> tensor<1x4x512x16xf32>
      %36 = jax.reshape %35 {params = "new_sizes=(4, 512, 16)"} : (tensor<1x4x512x16xf32>) -> tensor<4x512x16xf32>
      %37 = jax.transpose %36 {params = "permutation=(0, 2, 1)"} : (tensor<4x512x16xf32>) -> tensor<4x16x512xf32>
      %38 = jax.reshape %37 {params = "new_sizes=(1, 4, 16, 512)"} : (tensor<4x16x512xf32>) -> tensor<1x4x16x512xf32>
      %39 = jax.transpose %38 {params = "permutation=(0, 3, 1, 2)"} : (tensor<1x4x16x512xf32>) -> tensor<1x512x4x16xf32>
      %40 = jax.reshape %39 {params = "new_sizes=(1, 512, 64)"} : (tensor<1x512x4x16xf32>) -> tensor<1x512x64xf32>
      tessera.schedule.yield %40 : tensor<1x512x64xf32>
    }
    %41 = tessera.schedule.fuse(%params.params.Block_0.MultiHeadDotProductAttention_0.out.kernel_1 = %params.params.Block_0.MultiHeadDotProductAttention_0.out.kernel, %42 = %30, %params.params.Block_0.MultiHeadDotProductAttention_0.out.bias_1 = %params.params.Block_0.MultiHeadDotProductAttention_0.out.bias, %x_2 = %x) {pattern = "matmul", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 128, 64>, flops = 4259840 : i64, bytes = 426240 : i64, seconds = 4.262400e-05 : f64} : (tensor<4x16x64xf32>, tensor<1x512x64xf32>, tensor<64xf32>, tensor<1x512x64xf32>) -> tensor<1x512x64xf32> {
      %43 = jax.reshape %params.params.Block_0.MultiHeadDotProductAttention_0.out.kernel_1 {params = "new_sizes=(64, 64)"} : (tensor<4x16x64xf32>) -> tensor<64x64xf32>
      %44 = tessera.graph.matmul %42, %43, %params.params.Block_0.MultiHeadDotProductAttention_0.out.bias_1, %x_2 {accumulate = "float32"} : (tensor<1x512x64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<1x512x64xf32>) -> tensor<1x512x64xf32>
      tessera.schedule.yield %44 : tensor<1x512x64xf32>
    }
    %45 = tessera.schedule.fuse(%46 = %41, %params.params.Block_0.LayerNorm_1.scale_1 = %params.params.Block_0.LayerNorm_1.scale, %params.params.Block_0.LayerNorm_1.bias_1 = %params.params.Block_0.LayerNorm_1.bias) {pattern = "layernorm", runs = "xla", reason = "XLA's own lowering of layernorm is the fastest known", tile = array<i64: 128, 64>, flops = 231424 : i64, bytes = 262656 : i64, seconds = 2.626560e-05 : f64} : (tensor<1x512x64xf32>, tensor<64xf32>, tensor<64xf32>) -> tensor<1x512x64xf32> {
      %47 = tessera.graph.layernorm %46, %params.params.Block_0.LayerNorm_1.scale_1, %params.params.Block_0.LayerNorm_1.bias_1 {eps = 1.000000e-06 : f64} : (tensor<1x512x64xf32>, tensor<64xf32>, tensor<64xf32>) -> tensor<1x512x64xf32>
      tessera.schedule.yield %47 : tensor<1x512x64xf32>
    }
    %48 = tessera.schedule.fuse(%49 = %45, %params.params.Block_0.Dense_1.kernel_1 = %params.params.Block_0.Dense_1.kernel, %params.params.Block_0.Dense_1.bias_1 = %params.params.Block_0.Dense_1.bias) {pattern = "matmul+gelu", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 128, 128>, flops = 17956864 : i64, bytes = 1246208 : i64, seconds = 0.00017956864 : f64} : (tensor<1x512x64xf32>, tensor<64x256xf32>, tensor<256xf32>) -> tensor<1x512x256xf32> {
      %50 = tessera.graph.matmul %49, %params.params.Block_0.Dense_1.kernel_1, %params.params.Block_0.Dense_1.bias_1 {present = [true, true, true, false], accumulate = "float32"} : (tensor<1x512x64xf32>, tensor<64x256xf32>, tensor<256xf32>) -> tensor<1x512x256xf32>
      %51 = tessera.graph.gelu %50 {approximate = true} : (tensor<1x512x256xf32>) -> tensor<1x512x256xf32>
      tessera.schedule.yield %51 : tensor<1x512x256xf32>
    }
    %52 = tessera.schedule.pipeline(%53 = %48, %params.params.Block_0.Dense_0.kernel_1 = %params.params.Block_0.Dense_0.kernel, %params.params.Block_0.Dense_0.bias_1 = %params.params.Block_0.Dense_0.bias, %54 = %41, %target_1 = %target) {double_buffer = true, pattern = "matmul+sub+integer_pow", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 128, 64>, flops = 16908288 : i64, bytes = 1114368 : i64, seconds = 0.00016908288000000001 : f64} : (tensor<1x512x256xf32>, tensor<256x64xf32>, tensor<64xf32>, tensor<1x512x64xf32>, tensor<1x512x64xf32>) -> tensor<1x512x64xf32> {
      %55 = tessera.graph.matmul %53, %params.params.Block_0.Dense_0.kernel_1, %params.params.Block_0.Dense_0.bias_1, %54 {accumulate = "float32"} : (tensor<1x512x256xf32>, tensor<256x64xf32>, tensor<64xf32>, tensor<1x512x64xf32>) -> tensor<1x512x64xf32>
      %56 = jax.sub %55, %target_1 : (tensor<1x512x64xf32>, tensor<1x512x64xf32>) -> tensor<1x512x64xf32>
      %57 = jax.integer_pow %56 {params = "y=2"} : (tensor<1x512x64xf32>) -> tensor<1x512x64xf32>
      tessera.schedule.yield %57 : tensor<1x512x64xf32>
    }
    %58 = tessera.schedule.xla(%59 = %52) {pattern = "reduce_sum+div", runs = "xla", reason = "no Tessera op in it: jax.div, jax.reduce_sum", flops = 32769 : i64, bytes = 131076 : i64, seconds = 1.310760e-05 : f64} : (tensor<1x512x64xf32>) -> tensor<f32> {
      %60 = tessera.graph.constant {value = 3.276800e+04 : f32} : () -> tensor<f32>
      %61 = jax.reduce_sum %59 {params = "axes=(0, 1, 2)"} : (tensor<1x512x64xf32>) -> tensor<f32>
      %62 = jax.div %61, %60 : (tensor<f32>, tensor<f32>) -> tensor<f32>
      tessera.schedule.yield %62 : tensor<f32>
    }
    tessera.graph.return %58 : tensor<f32>
  }
}
