module @loss attributes {level = "graph"} {
  tessera.graph.func @loss(%params.0.attention.query_proj.weight: tensor<64x64xf32>, %params.0.attention.key_proj.weight: tensor<64x64xf32>, %params.0.attention.value_proj.weight: tensor<64x64xf32>, %params.0.attention.output_proj.weight: tensor<64x64xf32>, %params.0.mlp.layers.0.weight: tensor<256x64xf32>, %params.0.mlp.layers.0.bias: tensor<256xf32>, %params.0.mlp.layers.1.weight: tensor<64x256xf32>, %params.0.mlp.layers.1.bias: tensor<64xf32>, %params.0.mlp_norm.weight: tensor<64xf32>, %params.0.mlp_norm.bias: tensor<64xf32>, %params.0.norm.weight: tensor<64xf32>, %params.0.norm.bias: tensor<64xf32>, %x: tensor<1x512x64xf32>, %target: tensor<1x512x64xf32>) -> tensor<f32> {
    %0 = tessera.graph.layernorm %x, %params.0.norm.weight, %params.0.norm.bias {eps = 1.000000e-05 : f64} : (tensor<1x512x64xf32>, tensor<64xf32>, tensor<64xf32>) -> tensor<1x512x64xf32>
    %1 = jax.dot_general %params.0.attention.query_proj.weight, %0 {params = "dimension_numbers=(((1,), (2,)), ((), ())) preferred_element_type=float32"} : (tensor<64x64xf32>, tensor<1x512x64xf32>) -> tensor<64x1x512xf32>
    %2 = jax.transpose %1 {params = "permutation=(1, 2, 0)"} : (tensor<64x1x512xf32>) -> tensor<1x512x64xf32>
    %3 = jax.reshape %2 {params = "new_sizes=(1, 512, 4, 16)"} : (tensor<1x512x64xf32>) -> tensor<1x512x4x16xf32>
    %4 = jax.dot_general %params.0.attention.key_proj.weight, %0 {params = "dimension_numbers=(((1,), (2,)), ((), ())) preferred_element_type=float32"} : (tensor<64x64xf32>, tensor<1x512x64xf32>) -> tensor<64x1x512xf32>
    %5 = jax.transpose %4 {params = "permutation=(1, 2, 0)"} : (tensor<64x1x512xf32>) -> tensor<1x512x64xf32>
    %6 = jax.reshape %5 {params = "new_sizes=(1, 512, 4, 16)"} : (tensor<1x512x64xf32>) -> tensor<1x512x4x16xf32>
    %7 = jax.dot_general %params.0.attention.value_proj.weight, %0 {params = "dimension_numbers=(((1,), (2,)), ((), ())) preferred_element_type=float32"} : (tensor<64x64xf32>, tensor<1x512x64xf32>) -> tensor<64x1x512xf32>
    %8 = jax.transpose %7 {params = "permutation=(1, 2, 0)"} : (tensor<64x1x512xf32>) -> tensor<1x512x64xf32>
    %9 = jax.reshape %8 {params = "new_sizes=(1, 512, 4, 16)"} : (tensor<1x512x64xf32>) -> tensor<1x512x4x16xf32>
    %10 = jax.reshape %3 {params = "new_sizes=(512, 4, 16)"} : (tensor<1x512x4x16xf32>) -> tensor<512x4x16xf32>
    %11 = jax.transpose %10 {params = "permutation=(1, 0, 2)"} : (tensor<512x4x16xf32>) -> tensor<4x512x16xf32>
    %12 = jax.reshape %11 {params = "new_sizes=(1, 4, 512, 16)"} : (tensor<4x512x16xf32>) -> tensor<1x4x512x16xf32>
    %13 = jax.reshape %6 {params = "new_sizes=(512, 4, 16)"} : (tensor<1x512x4x16xf32>) -> tensor<512x4x16xf32>
    %14 = jax.transpose %13 {params = "permutation=(1, 0, 2)"} : (tensor<512x4x16xf32>) -> tensor<4x512x16xf32>
    %15 = jax.reshape %14 {params = "new_sizes=(1, 4, 512, 16)"} : (tensor<4x512x16xf32>) -> tensor<1x4x512x16xf32>
    %16 = jax.reshape %9 {params = "new_sizes=(512, 4, 16)"} : (tensor<1x512x4x16xf32>) -> tensor<512x4x16xf32>
    %17 = jax.transpose %16 {params = "permutation=(1, 0, 2)"} : (tensor<512x4x16xf32>) -> tensor<4x512x16xf32>
    %18 = jax.reshape %17 {params = "new_sizes=(1, 4, 512, 16)"} : (tensor<4x512x16xf32>) -> tensor<1x4x512x16xf32>
    %19 = jax.reshape %12 {params = "new_sizes=(1, 4, 1, 512, 16)"} : (tensor<1x4x512x16xf32>) -> tensor<1x4x1x512x16xf32>
    %20 = tessera.graph.flash_attention %19, %15, %18 {present = [true, true, true, false, false], causal = true, scale = 2.500000e-01 : f64} : (tensor<1x4x1x512x16xf32>, tensor<1x4x512x16xf32>, tensor<1x4x512x16xf32>) -> tensor<1x4x1x512x16xf32>
    %21 = jax.reshape %20 {params = "new_sizes=(1, 4, 512, 16)"} : (tensor<1x4x1x512x16xf32>) -> tensor<1x4x512x16xf32>
    %22 = jax.reshape %21 {params = "new_sizes=(4, 512, 16)"} : (tensor<1x4x512x16xf32>) -> tensor<4x512x16xf32>
    %23 = jax.reshape %22 {params = "new_sizes=(1, 4, 512, 16)"} : (tensor<4x512x16xf32>) -> tensor<1x4x512x16xf32>
    %24 = jax.transpose %23 {params = "permutation=(0, 2, 1, 3)"} : (tensor<1x4x512x16xf32>) -> tensor<1x512x4x16xf32>
    %25 = jax.reshape %24 {params = "new_sizes=(1, 512, 64)"} : (tensor<1x512x4x16xf32>) -> tensor<1x512x64xf32>
    %26 = jax.transpose %params.0.attention.output_proj.weight {params = "permutation=(1, 0)"} : (tensor<64x64xf32>) -> tensor<64x64xf32>
    %27 = tessera.graph.matmul %25, %26, %x {present = [true, true, false, true], accumulate = "float32"} : (tensor<1x512x64xf32>, tensor<64x64xf32>, tensor<1x512x64xf32>) -> tensor<1x512x64xf32>
    %28 = tessera.graph.layernorm %27, %params.0.mlp_norm.weight, %params.0.mlp_norm.bias {eps = 1.000000e-05 : f64} : (tensor<1x512x64xf32>, tensor<64xf32>, tensor<64xf32>) -> tensor<1x512x64xf32>
    %29 = jax.transpose %params.0.mlp.layers.0.weight {params = "permutation=(1, 0)"} : (tensor<256x64xf32>) -> tensor<64x256xf32>
    %30 = tessera.graph.matmul %28, %29, %params.0.mlp.layers.0.bias {present = [true, true, true, false], accumulate = "float32"} : (tensor<1x512x64xf32>, tensor<64x256xf32>, tensor<256xf32>) -> tensor<1x512x256xf32>
    %31 = tessera.graph.gelu %30 {approximate = true} : (tensor<1x512x256xf32>) -> tensor<1x512x256xf32>
    %32 = jax.transpose %params.0.mlp.layers.1.weight {params = "permutation=(1, 0)"} : (tensor<64x256xf32>) -> tensor<256x64xf32>
    %33 = tessera.graph.matmul %31, %32, %params.0.mlp.layers.1.bias, %27 {accumulate = "float32"} : (tensor<1x512x256xf32>, tensor<256x64xf32>, tensor<64xf32>, tensor<1x512x64xf32>) -> tensor<1x512x64xf32>
    %34 = jax.sub %33, %target : (tensor<1x512x64xf32>, tensor<1x512x64xf32>) -> tensor<1x512x64xf32>
    %35 = jax.integer_pow %34 {params = "y=2"} : (tensor<1x512x64xf32>) -> tensor<1x512x64xf32>
    %36 = jax.reduce_sum %35 {params = "axes=(0, 1, 2)"} : (tensor<1x512x64xf32>) -> tensor<f32>
    %37 = tessera.graph.constant {value = 3.276800e+04 : f32} : () -> tensor<f32>
    %38 = jax.div %36, %37 : (tensor<f32>, tensor<f32>) -> tensor<f32>
    tessera.graph.return %38 : tensor<f32>
  }
}
