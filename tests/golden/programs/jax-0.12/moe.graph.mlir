module @loss attributes {level = "graph"} {
  tessera.graph.func @loss(%params.down: tensor<4x16x8xf32>, %params.router: tensor<8x4xf32>, %params.up: tensor<4x8x16xf32>, %x: tensor<12x8xf32>, %target: tensor<12x8xf32>) -> tensor<f32> {
    %0 = jax.dot_general %x, %params.router {params = "dimension_numbers=(((1,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<12x8xf32>, tensor<8x4xf32>) -> tensor<12x4xf32>
    %1 = tessera.graph.softmax %0 {axis = 1 : i64, stable = true} : (tensor<12x4xf32>) -> tensor<12x4xf32>
    %2, %3 = jax.top_k %1 {params = "k=2 axis=1 is_stable=True"} : (tensor<12x4xf32>) -> (tensor<12x2xf32>, tensor<12x2xi32>)
    %4 = jax.reduce_sum %2 {params = "axes=(1,)"} : (tensor<12x2xf32>) -> tensor<12xf32>
    %5 = jax.broadcast_in_dim %4 {params = "shape=(12, 1) broadcast_dimensions=(0,)"} : (tensor<12xf32>) -> tensor<12x1xf32>
    %6 = jax.div %2, %5 : (tensor<12x2xf32>, tensor<12x1xf32>) -> tensor<12x2xf32>
    %7 = jax.broadcast_in_dim %3 {params = "shape=(12, 2, 1) broadcast_dimensions=(0, 1)"} : (tensor<12x2xi32>) -> tensor<12x2x1xi32>
    %8 = jax.iota {params = "dtype=int32 shape=(1, 1, 4) dimension=2"} : () -> tensor<1x1x4xi32>
    %9 = jax.eq %7, %8 : (tensor<12x2x1xi32>, tensor<1x1x4xi32>) -> tensor<12x2x4xi1>
    %10 = jax.convert_element_type %9 {params = "new_dtype=float32"} : (tensor<12x2x4xi1>) -> tensor<12x2x4xf32>
    %11 = jax.dot_general %6, %10 {params = "dimension_numbers=(((1,), (1,)), ((0,), (0,))) preferred_element_type=float32"} : (tensor<12x2xf32>, tensor<12x2x4xf32>) -> tensor<12x4xf32>
    %12 = jax.dot_general %x, %params.up {params = "dimension_numbers=(((1,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<12x8xf32>, tensor<4x8x16xf32>) -> tensor<12x4x16xf32>
    %13 = tessera.graph.gelu %12 {approximate = true} : (tensor<12x4x16xf32>) -> tensor<12x4x16xf32>
    %14 = jax.dot_general %params.down, %13 {params = "dimension_numbers=(((1,), (2,)), ((0,), (1,))) preferred_element_type=float32"} : (tensor<4x16x8xf32>, tensor<12x4x16xf32>) -> tensor<4x8x12xf32>
    %15 = jax.transpose %14 {params = "permutation=(2, 0, 1)"} : (tensor<4x8x12xf32>) -> tensor<12x4x8xf32>
    %16 = jax.dot_general %11, %15 {params = "dimension_numbers=(((1,), (1,)), ((0,), (0,))) preferred_element_type=float32"} : (tensor<12x4xf32>, tensor<12x4x8xf32>) -> tensor<12x8xf32>
    %17 = jax.add %x, %16 : (tensor<12x8xf32>, tensor<12x8xf32>) -> tensor<12x8xf32>
    %18 = jax.reduce_sum %10 {params = "axes=(1,)"} : (tensor<12x2x4xf32>) -> tensor<12x4xf32>
    %19 = jax.reduce_sum %18 {params = "axes=(0,)"} : (tensor<12x4xf32>) -> tensor<4xf32>
    %20 = tessera.graph.constant {value = 1.200000e+01 : f32} : () -> tensor<f32>
    %21 = jax.div %19, %20 : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
    %22 = jax.reduce_sum %1 {params = "axes=(0,)"} : (tensor<12x4xf32>) -> tensor<4xf32>
    %23 = jax.div %22, %20 : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
    %24 = jax.mul %21, %23 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    %25 = jax.sub %17, %target : (tensor<12x8xf32>, tensor<12x8xf32>) -> tensor<12x8xf32>
    %26 = jax.integer_pow %25 {params = "y=2"} : (tensor<12x8xf32>) -> tensor<12x8xf32>
    %27 = jax.reduce_sum %26 {params = "axes=(0, 1)"} : (tensor<12x8xf32>) -> tensor<f32>
    %28 = tessera.graph.constant {value = 9.600000e+01 : f32} : () -> tensor<f32>
    %29 = jax.div %27, %28 : (tensor<f32>, tensor<f32>) -> tensor<f32>
    %30 = jax.reduce_sum %24 {params = "axes=(0,)"} : (tensor<4xf32>) -> tensor<f32>
    %31 = tessera.graph.constant {value = 4.000000e-02 : f32} : () -> tensor<f32>
    %32 = jax.mul %31, %30 : (tensor<f32>, tensor<f32>) -> tensor<f32>
    %33 = jax.add %29, %32 : (tensor<f32>, tensor<f32>) -> tensor<f32>
    tessera.graph.return %33 : tensor<f32>
  }
}
