module @loss attributes {level = "graph"} {
  tessera.graph.func @loss(%params.params.Block_0.Dense_0.bias: tensor<64xf32>, %params.params.Block_0.Dense_0.kernel: tensor<256x64xf32>, %params.params.Block_0.Dense_1.bias: tensor<256xf32>, %params.params.Block_0.Dense_1.kernel: tensor<64x256xf32>, %params.params.Block_0.LayerNorm_0.bias: tensor<64xf32>, %params.params.Block_0.LayerNorm_0.scale: tensor<64xf32>, %params.params.Block_0.LayerNorm_1.bias: tensor<64xf32>, %params.params.Block_0.LayerNorm_1.scale: tensor<64xf32>, %params.params.Block_0.MultiHeadDotProductAttention_0.key.bias: tensor<4x16xf32>, %params.params.Block_0.MultiHeadDotProductAttention_0.key.kernel: tensor<64x4x16xf32>, %params.params.Block_0.MultiHeadDotProductAttention_0.out.bias: tensor<64xf32>, %params.params.Block_0.MultiHeadDotProductAttention_0.out.kernel: tensor<4x16x64xf32>, %params.params.Block_0.MultiHeadDotProductAttention_0.query.bias: tensor<4x16xf32>, %params.params.Block_0.MultiHeadDotProductAttention_0.query.kernel: tensor<64x4x16xf32>, %params.params.Block_0.MultiHeadDotProductAttention_0.value.bias: tensor<4x16xf32>, %params.params.Block_0.MultiHeadDotProductAttention_0.value.kernel: tensor<64x4x16xf32>, %x: tensor<1x512x64xf32>, %target: tensor<1x512x64xf32>) -> tensor<f32> {
    %0 = tessera.graph.layernorm %x, %params.params.Block_0.LayerNorm_0.scale, %params.params.Block_0.LayerNorm_0.bias {eps = 1.000000e-06 : f64} : (tensor<1x512x64xf32>, tensor<64xf32>, tensor<64xf32>) -> tensor<1x512x64xf32>
    %1 = jax.reshape %params.params.Block_0.MultiHeadDotProductAttention_0.query.bias {params = "new_sizes=(64,)"} : (tensor<4x16xf32>) -> tensor<64xf32>
    %2 = jax.reshape %params.params.Block_0.MultiHeadDotProductAttention_0.query.kernel {params = "new_sizes=(64, 64)"} : (tensor<64x4x16xf32>) -> tensor<64x64xf32>
    %3 = tessera.graph.matmul %0, %2, %1 {present = [true, true, true, false], accumulate = "float32"} : (tensor<1x512x64xf32>, tensor<64x64xf32>, tensor<64xf32>) -> tensor<1x512x64xf32>
    %4 = jax.reshape %3 {params = "new_sizes=(1, 512, 4, 16)"} : (tensor<1x512x64xf32>) -> tensor<1x512x4x16xf32>
    %5 = jax.reshape %params.params.Block_0.MultiHeadDotProductAttention_0.key.bias {params = "new_sizes=(64,)"} : (tensor<4x16xf32>) -> tensor<64xf32>
    %6 = jax.reshape %params.params.Block_0.MultiHeadDotProductAttention_0.key.kernel {params = "new_sizes=(64, 64)"} : (tensor<64x4x16xf32>) -> tensor<64x64xf32>
    %7 = tessera.graph.matmul %0, %6, %5 {present = [true, true, true, false], accumulate = "float32"} : (tensor<1x512x64xf32>, tensor<64x64xf32>, tensor<64xf32>) -> tensor<1x512x64xf32>
    %8 = jax.reshape %7 {params = "new_sizes=(1, 512, 4, 16)"} : (tensor<1x512x64xf32>) -> tensor<1x512x4x16xf32>
    %9 = jax.reshape %params.params.Block_0.MultiHeadDotProductAttention_0.value.bias {params = "new_sizes=(64,)"} : (tensor<4x16xf32>) -> tensor<64xf32>
    %10 = jax.reshape %params.params.Block_0.MultiHeadDotProductAttention_0.value.kernel {params = "new_sizes=(64, 64)"} : (tensor<64x4x16xf32>) -> tensor<64x64xf32>
    %11 = tessera.graph.matmul %0, %10, %9 {present = [true, true, true, false], accumulate = "float32"} : (tensor<1x512x64xf32>, tensor<64x64xf32>, tensor<64xf32>) -> tensor<1x512x64xf32>
    %12 = jax.reshape %11 {params = "new_sizes=(1, 512, 4, 16)"} : (tensor<1x512x64xf32>) -> tensor<1x512x4x16xf32>
    %13 = jax.reshape %4 {params = "new_sizes=(512, 4, 16)"} : (tensor<1x512x4x16xf32>) -> tensor<512x4x16xf32>
    %14 = jax.transpose %13 {params = "permutation=(1, 0, 2)"} : (tensor<512x4x16xf32>) -> tensor<4x512x16xf32>
    %15 = jax.reshape %14 {params = "new_sizes=(1, 4, 512, 16)"} : (tensor<4x512x16xf32>) -> tensor<1x4x512x16xf32>
    %16 = jax.reshape %8 {params = "new_sizes=(512, 4, 16)"} : (tensor<1x512x4x16xf32>) -> tensor<512x4x16xf32>
    %17 = jax.transpose %16 {params = "permutation=(1, 0, 2)"} : (tensor<512x4x16xf32>) -> tensor<4x512x16xf32>
    %18 = jax.reshape %17 {params = "new_sizes=(1, 4, 512, 16)"} : (tensor<4x512x16xf32>) -> tensor<1x4x512x16xf32>
    %19 = jax.reshape %12 {params = "new_sizes=(512, 4, 16)"} : (tensor<1x512x4x16xf32>) -> tensor<512x4x16xf32>
    %20 = jax.transpose %19 {params = "permutation=(1, 0, 2)"} : (tensor<512x4x16xf32>) -> tensor<4x512x16xf32>
    %21 = jax.reshape %20 {params = "new_sizes=(1, 4, 512, 16)"} : (tensor<4x512x16xf32>) -> tensor<1x4x512x16xf32>
    %22 = jax.reshape %15 {params = "new_sizes=(1, 4, 1, 512, 16)"} : (tensor<1x4x512x16xf32>) -> tensor<1x4x1x512x16xf32>
    %23 = tessera.graph.flash_attention %22, %18, %21 {present = [true, true, true, false, false], causal = true, scale = 2.500000e-01 : f64} : (tensor<1x4x1x512x16xf32>, tensor<1x4x512x16xf32>, tensor<1x4x512x16xf32>) -> tensor<1x4x1x512x16xf32>
    %24 = jax.reshape %23 {params = "new_sizes=(1, 4, 512, 16)"} : (tensor<1x4x1x512x16xf32>) -> tensor<1x4x512x16xf32>
    %25 = jax.reshape %24 {params = "new_sizes=(4, 512, 16)"} : (tensor<1x4x512x16xf32>) -> tensor<4x512x16xf32>
    %26 = jax.transpose %25 {params = "permutation=(0, 2, 1)"} : (tensor<4x512x16xf32>) -> tensor<4x16x512xf32>
    %27 = jax.reshape %26 {params = "new_sizes=(1, 4, 16, 512)"} : (tensor<4x16x512xf32>) -> tensor<1x4x16x512xf32>
    %28 = jax.transpose %27 {params = "permutation=(0, 3, 1, 2)"} : (tensor<1x4x16x512xf32>) -> tensor<1x512x4x16xf32>
    %29 = jax.reshape %28 {params = "new_sizes=(1, 512, 64)"} : (tensor<1x512x4x16xf32>) -> tensor<1x512x64xf32>
    %30 = jax.reshape %params.params.Block_0.MultiHeadDotProductAttention_0.out.kernel {params = "new_sizes=(64, 64)"} : (tensor<4x16x64xf32>) -> tensor<64x64xf32>
    %31 = tessera.graph.matmul %29, %30, %params.params.Block_0.MultiHeadDotProductAttention_0.out.bias, %x {accumulate = "float32"} : (tensor<1x512x64xf32>, tensor<64x64xf32>, tensor<64xf32>, tensor<1x512x64xf32>) -> tensor<1x512x64xf32>
    %32 = tessera.graph.layernorm %31, %params.params.Block_0.LayerNorm_1.scale, %params.params.Block_0.LayerNorm_1.bias {eps = 1.000000e-06 : f64} : (tensor<1x512x64xf32>, tensor<64xf32>, tensor<64xf32>) -> tensor<1x512x64xf32>
    %33 = tessera.graph.matmul %32, %params.params.Block_0.Dense_1.kernel, %params.params.Block_0.Dense_1.bias {present = [true, true, true, false], accumulate = "float32"} : (tensor<1x512x64xf32>, tensor<64x256xf32>, tensor<256xf32>) -> tensor<1x512x256xf32>
    %34 = tessera.graph.gelu %33 {approximate = true} : (tensor<1x512x256xf32>) -> tensor<1x512x256xf32>
    %35 = tessera.graph.matmul %34, %params.params.Block_0.Dense_0.kernel, %params.params.Block_0.Dense_0.bias, %31 {accumulate = "float32"} : (tensor<1x512x256xf32>, tensor<256x64xf32>, tensor<64xf32>, tensor<1x512x64xf32>) -> tensor<1x512x64xf32>
    %36 = jax.sub %35, %target : (tensor<1x512x64xf32>, tensor<1x512x64xf32>) -> tensor<1x512x64xf32>
    %37 = jax.integer_pow %36 {params = "y=2"} : (tensor<1x512x64xf32>) -> tensor<1x512x64xf32>
    %38 = jax.reduce_sum %37 {params = "axes=(0, 1, 2)"} : (tensor<1x512x64xf32>) -> tensor<f32>
    %39 = tessera.graph.constant {value = 3.276800e+04 : f32} : () -> tensor<f32>
    %40 = jax.div %38, %39 : (tensor<f32>, tensor<f32>) -> tensor<f32>
    tessera.graph.return %40 : tensor<f32>
  }
}
