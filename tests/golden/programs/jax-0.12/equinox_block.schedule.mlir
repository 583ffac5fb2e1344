module @loss attributes {level = "schedule"} {
  tessera.graph.func @loss(%params.0.attention.query_proj.weight: tensor<64x64xf32>, %params.0.attention.key_proj.weight: tensor<64x64xf32>, %params.0.attention.value_proj.weight: tensor<64x64xf32>, %params.0.attention.output_proj.weight: tensor<64x64xf32>, %params.0.mlp.layers.0.weight: tensor<256x64xf32>, %params.0.mlp.layers.0.bias: tensor<256xf32>, %params.0.mlp.layers.1.weight: tensor<64x256xf32>, %params.0.mlp.layers.1.bias: tensor<64xf32>, %params.0.mlp_norm.weight: tensor<64xf32>, %params.0.mlp_norm.bias: tensor<64xf32>, %params.0.norm.weight: tensor<64xf32>, %params.0.norm.bias: tensor<64xf32>, %x: tensor<1x512x64xf32>, %target: tensor<1x512x64xf32>) -> tensor<f32> {
    %0 = tessera.schedule.fuse(%x_1 = %x, %params.0.norm.weight_1 = %params.0.norm.weight, %params.0.norm.bias_1 = %params.0.norm.bias) {pattern = "layernorm", runs = "xla", reason = "XLA's own lowering of layernorm is the fastest known", tile = array<i64: 128, 64>, flops = 231424 : i64, bytes = 262656 : i64, seconds = 2.626560e-05 : f64} : (tensor<1x512x64xf32>, tensor<64xf32>, tensor<64xf32>) -> tensor<1x512x64xf32> {
      %1 = tessera.graph.layernorm %x_1, %params.0.norm.weight_1, %params.0.norm.bias_1 {eps = 1.000000e-05 : f64} : (tensor<1x512x64xf32>, tensor<64xf32>, tensor<64xf32>) -> tensor<1x512x64xf32>
      tessera.schedule.yield %1 : tensor<1x512x64xf32>
    }
    %2 = tessera.schedule.xla(%params.0.attention.query_proj.weight_1 = %params.0.attention.query_proj.weight, %3 = %0) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.reshape, jax.transpose", flops = 4194304 : i64, bytes = 409600 : i64, seconds = 4.1943039999999997e-05 : f64} : (tensor<64x64xf32>, tensor<1x512x64xf32>) -> tensor<1x4x1x512x16xf32> {
      %4 = jax.dot_general %params.0.attention.query_proj.weight_1, %3 {params = "dimension_numbers=(((1,), (2,)), ((), ())) preferred_element_type=float32"} : (tensor<64x64xf32>, tensor<1x512x64xf32>) -> tensor<64x1x512xf32>
      %5 = jax.transpose %4 {params = "permutation=(1, 2, 0)"} : (tensor<64x1x512xf32>) -> tensor<1x512x64xf32>
      %6 = jax.reshape %5 {params = "new_sizes=(1, 512, 4, 16)"} : (tensor<1x512x64xf32>) -> tensor<1x512x4x16xf32>
      %7 = jax.reshape %6 {params = "new_sizes=(512, 4, 16)"} : (tensor<1x512x4x16xf32>) -> tensor<512x4x16xf32>
      %8 = jax.transpose %7 {params = "permutation=(1, 0, 2)"} : (tensor<512x4x16xf32>) -> tensor<4x512x16xf32>
      %9 = jax.reshape %8 {params = "new_sizes=(1, 4, 512, 16)"} : (tensor<4x512x16xf32>) -> tensor<1x4x512x16xf32>
      %10 = jax.reshape %9 {params = "new_sizes=(1, 4, 1, 512, 16)"} : (tensor<1x4x512x16xf32>) -> tensor<1x4x1x512x16xf32>
      tessera.schedule.yield %10 : tensor<1x4x1x512x16xf32>
    }
    %11 = tessera.schedule.xla(%params.0.attention.key_proj.weight_1 = %params.0.attention.key_proj.weight, %12 = %0) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.reshape, jax.transpose", flops = 4194304 : i64, bytes = 409600 : i64, seconds = 4.1943039999999997e-05 : f64} : (tensor<64x64xf32>, tensor<1x512x64xf32>) -> tensor<1x4x512x16xf32> {
      %13 = jax.dot_general %params.0.attention.key_proj.weight_1, %12 {params = "dimension_numbers=(((1,), (2,)), ((), ())) preferred_element_type=float32"} : (tensor<64x64xf32>, tensor<1x512x64xf32>) -> tensor<64x1x512xf32>
      %14 = jax.transpose %13 {params = "permutation=(1, 2, 0)"} : (tensor<64x1x512xf32>) -> tensor<1x512x64xf32>
      %15 = jax.reshape %14 {params = "new_sizes=(1, 512, 4, 16)"} : (tensor<1x512x64xf32>) -> tensor<1x512x4x16xf32>
      %16 = jax.reshape %15 {params = "new_sizes=(512, 4, 16)"} : (tensor<1x512x4x16xf32>) -> tensor<512x4x16xf32>
      %17 = jax.transpose %16 {params = "permutation=(1, 0, 2)"} : (tensor<512x4x16xf32>) -> tensor<4x512x16xf32>
      %18 = jax.reshape %17 {params = "new_sizes=(1, 4, 512, 16)"} : (tensor<4x512x16xf32>) -> tensor<1x4x512x16xf32>
      tessera.schedule.yield %18 : tensor<1x4x512x16xf32>
    }
    %19 = tessera.schedule.xla(%params.0.attention.value_proj.weight_1 = %params.0.attention.value_proj.weight, %20 = %0) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.reshape, jax.transpose", flops = 4194304 : i64, bytes = 409600 : i64, seconds = 4.1943039999999997e-05 : f64} : (tensor<64x64xf32>, tensor<1x512x64xf32>) -> tensor<1x4x512x16xf32> {
      %21 = jax.dot_general %params.0.attention.value_proj.weight_1, %20 {params = "dimension_numbers=(((1,), (2,)), ((), ())) preferred_element_type=float32"} : (tensor<64x64xf32>, tensor<1x512x64xf32>) -> tensor<64x1x512xf32>
      %22 = jax.transpose %21 {params = "permutation=(1, 2, 0)"} : (tensor<64x1x512xf32>) -> tensor<1x512x64xf32>
      %23 = jax.reshape %22 {params = "new_sizes=(1, 512, 4, 16)"} : (tensor<1x512x64xf32>) -> tensor<1x512x4x16xf32>
      %24 = jax.reshape %23 {params = "new_sizes=(512, 4, 16)"} : (tensor<1x512x4x16xf32>) -> tensor<512x4x16xf32>
      %25 = jax.transpose %24 {params = "permutation=(1, 0, 2)"} : (tensor<512x4x16xf32>) -> tensor<4x512x16xf32>
      %26 = jax.reshape %25 {params = "new_sizes=(1, 4, 512, 16)"} : (tensor<4x512x16xf32>) -> tensor<1x4x512x16xf32>
      tessera.schedule.yield %26 : tensor<1x4x512x16xf32>
    }
    %27 = tessera.schedule.fuse(%28 = %2, %29 = %11, %30 = %19) {pattern = "flash_attention", runs = "tile", reason = "the tile program of flash_attention is for these sizes on cpu", tile = array<i64: 128, 16>, inner = 128 : i64, flops = 72425472 : i64, bytes = 655360 : i64, seconds = 0.00072425471999999996 : f64} : (tensor<1x4x1x512x16xf32>, tensor<1x4x512x16xf32>, tensor<1x4x512x16xf32>) -> tensor<1x512x64xf32> {
      %31 = tessera.graph.flash_attention %28, %29, %30 {present = [true, true, true, false, false], causal = true, scale = 2.500000e-01 : f64} : (tensor<1x4x1x512x16xf32>, tensor<1x4x512x16xf32>, tensor<1x4x512x16xf32>) -> tensor<1x4x1x512x16xf32>
      %32 = jax.reshape %31 {params = "new_sizes=(1, 4, 512, 16)"} : (tensor<1x4x1x512x16xf32>) -> tensor<1x4x512x16xf32>
      %33 = jax.reshape %32 {params = "new_sizes=(4, 512, 16)"} : (tensor<1x4x512x16xf32>) -> tensor<4x512x16xf32>
      %34 = jax.reshape %33 {params = "new_sizes=(1, 4, 512, 16)"} : (tensor<4x512x16xf32>) -> tensor<1x4x512x16xf32>
      %35 = jax.transpose %34 {params = "permutation=(0, 2, 1, 3)"} : (tensor<1x4x512x16xf32>) -> tensor<1x512x4x16xf32>
      %36 = jax.reshape %35 {params = "new_sizes=(1, 512, 64)"} : (tensor<1x512x4x16xf32>) -> tensor<1x512x64xf32>
      tessera.schedule.yield %36 : tensor<1x512x64xf32>
    }
    %37 = tessera.schedule.fuse(%params.0.attention.output_proj.weight_1 = %params.0.attention.output_proj.weight, %38 = %27, %x_2 = %x) {pattern = "matmul", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 128, 64>, flops = 4227072 : i64, bytes = 409600 : i64, seconds = 4.2270720000000003e-05 : f64} : (tensor<64x64xf32>, tensor<1x512x64xf32>, tensor<1x512x64xf32>) -> tensor<1x512x64xf32> {
      %39 = jax.transpose %params.0.attention.output_proj.weight_1 {params = "permutation=(1, 0)"} : (tensor<64x64xf32>) -> tensor<64x64xf32>
      %40 = tessera.graph.matmul %38, %39, %x_2 {present = [true, true, false, true], accumulate = "float32"} : (tensor<1x512x64xf32>, tensor<64x64xf32>, tensor<1x512x64xf32>) -> tensor<1x512x64xf32>
      tessera.schedule.yield %40 : tensor<1x512x64xf32>
    }
    %41 = tessera.schedule.fuse(%42 = %37, %params.0.mlp_norm.weight_1 = %params.0.mlp_norm.weight, %params.0.mlp_norm.bias_1 = %params.0.mlp_norm.bias) {pattern = "layernorm", runs = "xla", reason = "XLA's own lowering of layernorm is the fastest known", tile = array<i64: 128, 64>, flops = 231424 : i64, bytes = 262656 : i64, seconds = 2.626560e-05 : f64} : (tensor<1x512x64xf32>, tensor<64xf32>, tensor<64xf32>) -> tensor<1x512x64xf32> {
      %43 = tessera.graph.layernorm %42, %params.0.mlp_norm.weight_1, %params.0.mlp_norm.bias_1 {eps = 1.000000e-05 : f64} : (tensor<1x512x64xf32>, tensor<64xf32>, tensor<64xf32>) -> tensor<1x512x64xf32>
      tessera.schedule.yield %43 : tensor<1x512x64xf32>
    }
    %44 = tessera.schedule.fuse(%params.0.mlp.layers.0.weight_1 = %params.0.mlp.layers.0.weight, %45 = %41, %params.0.mlp.layers.0.bias_1 = %params.0.mlp.layers.0.bias) {pattern = "matmul+gelu", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 128, 128>, flops = 17956864 : i64, bytes = 1246208 : i64, seconds = 0.00017956864 : f64} : (tensor<256x64xf32>, tensor<1x512x64xf32>, tensor<256xf32>) -> tensor<1x512x256xf32> {
      %46 = jax.transpose %params.0.mlp.layers.0.weight_1 {params = "permutation=(1, 0)"} : (tensor<256x64xf32>) -> tensor<64x256xf32>
      %47 = tessera.graph.matmul %45, %46, %params.0.mlp.layers.0.bias_1 {present = [true, true, true, false], accumulate = "float32"} : (tensor<1x512x64xf32>, tensor<64x256xf32>, tensor<256xf32>) -> tensor<1x512x256xf32>
      %48 = tessera.graph.gelu %47 {approximate = true} : (tensor<1x512x256xf32>) -> tensor<1x512x256xf32>
      tessera.schedule.yield %48 : tensor<1x512x256xf32>
    }
    %49 = tessera.schedule.pipeline(%params.0.mlp.layers.1.weight_1 = %params.0.mlp.layers.1.weight, %50 = %44, %params.0.mlp.layers.1.bias_1 = %params.0.mlp.layers.1.bias, %51 = %37, %target_1 = %target) {double_buffer = true, pattern = "matmul+sub+integer_pow", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 128, 64>, flops = 16908288 : i64, bytes = 1179904 : i64, seconds = 0.00016908288000000001 : f64} : (tensor<64x256xf32>, tensor<1x512x256xf32>, tensor<64xf32>, tensor<1x512x64xf32>, tensor<1x512x64xf32>) -> tensor<1x512x64xf32> {
      %52 = jax.transpose %params.0.mlp.layers.1.weight_1 {params = "permutation=(1, 0)"} : (tensor<64x256xf32>) -> tensor<256x64xf32>
      %53 = tessera.graph.matmul %50, %52, %params.0.mlp.layers.1.bias_1, %51 {accumulate = "float32"} : (tensor<1x512x256xf32>, tensor<256x64xf32>, tensor<64xf32>, tensor<1x512x64xf32>) -> tensor<1x512x64xf32>
      %54 = jax.sub %53, %target_1 : (tensor<1x512x64xf32>, tensor<1x512x64xf32>) -> tensor<1x512x64xf32>
      %55 = jax.integer_pow %54 {params = "y=2"} : (tensor<1x512x64xf32>) -> tensor<1x512x64xf32>
      tessera.schedule.yield %55 : tensor<1x512x64xf32>
    }
    %56 = tessera.schedule.xla(%57 = %49) {pattern = "reduce_sum+div", runs = "xla", reason = "no Tessera op in it: jax.div, jax.reduce_sum", flops = 32769 : i64, bytes = 131076 : i64, seconds = 1.310760e-05 : f64} : (tensor<1x512x64xf32>) -> tensor<f32> {
      %58 = tessera.graph.constant {value = 3.276800e+04 : f32} : () -> tensor<f32>
      %59 = jax.reduce_sum %57 {params = "axes=(0, 1, 2)"} : (tensor<1x512x64xf32>) -> tensor<f32>
      %60 = jax.div %59, %58 : (tensor<f32>, tensor<f32>) -> tensor<f32>
      tessera.schedule.yield %60 : tensor<f32>
    }
    tessera.graph.return %56 : tensor<f32>
  }
}
