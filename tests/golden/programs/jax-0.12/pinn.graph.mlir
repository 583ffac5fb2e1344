module @loss attributes {level = "graph"} {
  tessera.graph.func @loss(%params.0.0: tensor<2x8xf32>, %params.0.1: tensor<8xf32>, %params.1.0: tensor<8x8xf32>, %params.1.1: tensor<8xf32>, %params.2.0: tensor<8x1xf32>, %params.2.1: tensor<1xf32>, %inside: tensor<6x2xf32>, %start: tensor<3xf32>) -> tensor<f32> {
    %0 = jax.slice %inside {params = "start_indices=(0, 0) limit_indices=(6, 1)"} : (tensor<6x2xf32>) -> tensor<6x1xf32>
    %1 = jax.squeeze %0 {params = "dimensions=(1,)"} : (tensor<6x1xf32>) -> tensor<6xf32>
    %2 = jax.slice %inside {params = "start_indices=(0, 1) limit_indices=(6, 2)"} : (tensor<6x2xf32>) -> tensor<6x1xf32>
    %3 = jax.squeeze %2 {params = "dimensions=(1,)"} : (tensor<6x1xf32>) -> tensor<6xf32>
    %4 = jax.stack %1, %3 {params = "axis=0"} : (tensor<6xf32>, tensor<6xf32>) -> tensor<2x6xf32>
    %5 = jax.dot_general %4, %params.0.0 {params = "dimension_numbers=(((0,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<2x6xf32>, tensor<2x8xf32>) -> tensor<6x8xf32>
    %6 = jax.broadcast_in_dim %params.0.1 {params = "shape=(1, 8) broadcast_dimensions=(np.int64(1),)"} : (tensor<8xf32>) -> tensor<1x8xf32>
    %7 = jax.add %5, %6 : (tensor<6x8xf32>, tensor<1x8xf32>) -> tensor<6x8xf32>
    %8 = jax.tanh %7 : (tensor<6x8xf32>) -> tensor<6x8xf32>
    %9 = jax.one_minus_square %8 : (tensor<6x8xf32>) -> tensor<6x8xf32>
    %10 = tessera.graph.matmul %8, %params.1.0, %params.1.1 {present = [true, true, true, false], activation = "tanh", accumulate = "float32"} : (tensor<6x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<6x8xf32>
    %11 = jax.one_minus_square %10 : (tensor<6x8xf32>) -> tensor<6x8xf32>
    %12 = tessera.graph.matmul %10, %params.2.0, %params.2.1 {present = [true, true, true, false], accumulate = "float32"} : (tensor<6x8xf32>, tensor<8x1xf32>, tensor<1xf32>) -> tensor<6x1xf32>
    %13 = jax.squeeze %12 {params = "dimensions=(1,)"} : (tensor<6x1xf32>) -> tensor<6xf32>
    %14 = tessera.graph.constant {value = 1.000000e+00 : f32} : () -> tensor<f32>
    %15 = jax.broadcast_in_dim %14 {params = "shape=(1,)"} : (tensor<f32>) -> tensor<1xf32>
    %16 = jax.dot_general %15, %params.2.0 {params = "dimension_numbers=(((0,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<1xf32>, tensor<8x1xf32>) -> tensor<8xf32>
    %17 = jax.broadcast_in_dim %16 {params = "shape=(1, 8) broadcast_dimensions=(np.int64(1),)"} : (tensor<8xf32>) -> tensor<1x8xf32>
    %18 = jax.mul %17, %11 : (tensor<1x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %19 = jax.dot_general %18, %params.1.0 {params = "dimension_numbers=(((1,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<6x8xf32>, tensor<8x8xf32>) -> tensor<6x8xf32>
    %20 = jax.mul %19, %9 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %21 = jax.dot_general %20, %params.0.0 {params = "dimension_numbers=(((1,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<6x8xf32>, tensor<2x8xf32>) -> tensor<6x2xf32>
    %22, %23 = jax.unstack %21 {params = "axis=1"} : (tensor<6x2xf32>) -> (tensor<6xf32>, tensor<6xf32>)
    %24 = tessera.graph.constant {value = -2.000000e+00 : f32} : () -> tensor<f32>
    %25 = jax.mul %24, %8 : (tensor<f32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %26 = jax.mul %24, %10 : (tensor<f32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %27 = tessera.graph.constant {value = 0.000000e+00 : f32} : () -> tensor<f32>
    %28 = jax.stack %27, %14 {params = "axis=0"} : (tensor<f32>, tensor<f32>) -> tensor<2xf32>
    %29 = jax.dot_general %28, %params.0.0 {params = "dimension_numbers=(((0,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<2xf32>, tensor<2x8xf32>) -> tensor<8xf32>
    %30 = jax.broadcast_in_dim %29 {params = "shape=(1, 8) broadcast_dimensions=(np.int64(1),)"} : (tensor<8xf32>) -> tensor<1x8xf32>
    %31 = jax.mul %19, %30 : (tensor<6x8xf32>, tensor<1x8xf32>) -> tensor<6x8xf32>
    %32 = jax.mul %30, %9 : (tensor<1x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %33 = jax.dot_general %32, %params.1.0 {params = "dimension_numbers=(((1,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<6x8xf32>, tensor<8x8xf32>) -> tensor<6x8xf32>
    %34 = jax.mul %17, %33 : (tensor<1x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %35 = jax.mul %34, %26 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %36 = jax.mul %35, %11 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %37 = jax.dot_general %36, %params.1.0 {params = "dimension_numbers=(((1,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<6x8xf32>, tensor<8x8xf32>) -> tensor<6x8xf32>
    %38 = jax.mul %31, %25 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %39 = jax.add_any %37, %38 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %40 = jax.mul %39, %9 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %41 = jax.dot_general %40, %params.0.0 {params = "dimension_numbers=(((1,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<6x8xf32>, tensor<2x8xf32>) -> tensor<6x2xf32>
    %42, %43 = jax.unstack %41 {params = "axis=1"} : (tensor<6x2xf32>) -> (tensor<6xf32>, tensor<6xf32>)
    %44 = jax.mul %13, %23 : (tensor<6xf32>, tensor<6xf32>) -> tensor<6xf32>
    %45 = jax.add %22, %44 : (tensor<6xf32>, tensor<6xf32>) -> tensor<6xf32>
    %46 = tessera.graph.constant {value = 0.00318309898 : f32} : () -> tensor<f32>
    %47 = jax.mul %46, %43 : (tensor<f32>, tensor<6xf32>) -> tensor<6xf32>
    %48 = jax.sub %45, %47 : (tensor<6xf32>, tensor<6xf32>) -> tensor<6xf32>
    %49 = jax.broadcast_in_dim %27 {params = "shape=(3,)"} : (tensor<f32>) -> tensor<3xf32>
    %50 = jax.stack %49, %start {params = "axis=1"} : (tensor<3xf32>, tensor<3xf32>) -> tensor<3x2xf32>
    %51 = tessera.graph.matmul %50, %params.0.0, %params.0.1 {present = [true, true, true, false], activation = "tanh", accumulate = "float32"} : (tensor<3x2xf32>, tensor<2x8xf32>, tensor<8xf32>) -> tensor<3x8xf32>
    %52 = tessera.graph.matmul %51, %params.1.0, %params.1.1 {present = [true, true, true, false], activation = "tanh", accumulate = "float32"} : (tensor<3x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<3x8xf32>
    %53 = tessera.graph.matmul %52, %params.2.0, %params.2.1 {present = [true, true, true, false], accumulate = "float32"} : (tensor<3x8xf32>, tensor<8x1xf32>, tensor<1xf32>) -> tensor<3x1xf32>
    %54 = jax.squeeze %53 {params = "dimensions=(1,)"} : (tensor<3x1xf32>) -> tensor<3xf32>
    %55 = tessera.graph.constant {value = 3.14159274 : f32} : () -> tensor<f32>
    %56 = jax.mul %55, %start : (tensor<f32>, tensor<3xf32>) -> tensor<3xf32>
    %57 = jax.sin %56 : (tensor<3xf32>) -> tensor<3xf32>
    %58 = jax.add %54, %57 : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
    %59 = jax.integer_pow %48 {params = "y=2"} : (tensor<6xf32>) -> tensor<6xf32>
    %60 = jax.reduce_sum %59 {params = "axes=(0,)"} : (tensor<6xf32>) -> tensor<f32>
    %61 = tessera.graph.constant {value = 6.000000e+00 : f32} : () -> tensor<f32>
    %62 = jax.div %60, %61 : (tensor<f32>, tensor<f32>) -> tensor<f32>
    %63 = jax.integer_pow %58 {params = "y=2"} : (tensor<3xf32>) -> tensor<3xf32>
    %64 = jax.reduce_sum %63 {params = "axes=(0,)"} : (tensor<3xf32>) -> tensor<f32>
    %65 = tessera.graph.constant {value = 3.000000e+00 : f32} : () -> tensor<f32>
    %66 = jax.div %64, %65 : (tensor<f32>, tensor<f32>) -> tensor<f32>
    %67 = jax.add %62, %66 : (tensor<f32>, tensor<f32>) -> tensor<f32>
    tessera.graph.return %67 : tensor<f32>
  }
}
