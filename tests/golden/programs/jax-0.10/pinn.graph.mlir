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
    %9 = tessera.graph.constant {value = 1.000000e+00 : f32} : () -> tensor<f32>
    %10 = jax.sub %9, %8 : (tensor<f32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %11 = tessera.graph.matmul %8, %params.1.0, %params.1.1 {present = [true, true, true, false], activation = "tanh", accumulate = "float32"} : (tensor<6x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<6x8xf32>
    %12 = jax.sub %9, %11 : (tensor<f32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %13 = tessera.graph.matmul %11, %params.2.0, %params.2.1 {present = [true, true, true, false], accumulate = "float32"} : (tensor<6x8xf32>, tensor<8x1xf32>, tensor<1xf32>) -> tensor<6x1xf32>
    %14 = jax.squeeze %13 {params = "dimensions=(1,)"} : (tensor<6x1xf32>) -> tensor<6xf32>
    %15 = jax.broadcast_in_dim %9 {params = "shape=(1,)"} : (tensor<f32>) -> tensor<1xf32>
    %16 = jax.dot_general %15, %params.2.0 {params = "dimension_numbers=(((0,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<1xf32>, tensor<8x1xf32>) -> tensor<8xf32>
    %17 = jax.broadcast_in_dim %16 {params = "shape=(1, 8) broadcast_dimensions=(np.int64(1),)"} : (tensor<8xf32>) -> tensor<1x8xf32>
    %18 = jax.mul %17, %12 : (tensor<1x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %19 = jax.mul %18, %11 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %20 = jax.add_any %18, %19 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %21 = jax.dot_general %20, %params.1.0 {params = "dimension_numbers=(((1,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<6x8xf32>, tensor<8x8xf32>) -> tensor<6x8xf32>
    %22 = jax.mul %21, %10 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %23 = jax.mul %22, %8 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %24 = jax.add_any %22, %23 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %25 = jax.dot_general %24, %params.0.0 {params = "dimension_numbers=(((1,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<6x8xf32>, tensor<2x8xf32>) -> tensor<6x2xf32>
    %26, %27 = jax.unstack %25 {params = "axis=1"} : (tensor<6x2xf32>) -> (tensor<6xf32>, tensor<6xf32>)
    %28 = tessera.graph.constant {value = 0.000000e+00 : f32} : () -> tensor<f32>
    %29 = jax.stack %28, %9 {params = "axis=0"} : (tensor<f32>, tensor<f32>) -> tensor<2xf32>
    %30 = jax.dot_general %29, %params.0.0 {params = "dimension_numbers=(((0,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<2xf32>, tensor<2x8xf32>) -> tensor<8xf32>
    %31 = jax.broadcast_in_dim %30 {params = "shape=(1, 8) broadcast_dimensions=(np.int64(1),)"} : (tensor<8xf32>) -> tensor<1x8xf32>
    %32 = jax.mul %22, %31 : (tensor<6x8xf32>, tensor<1x8xf32>) -> tensor<6x8xf32>
    %33 = jax.mul %31, %8 : (tensor<1x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %34 = jax.broadcast_in_dim %30 {params = "shape=(6, 8) broadcast_dimensions=(np.int64(1),)"} : (tensor<8xf32>) -> tensor<6x8xf32>
    %35 = jax.add_any %34, %33 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %36 = jax.mul %21, %35 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %37 = jax.mul %35, %10 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %38 = jax.dot_general %37, %params.1.0 {params = "dimension_numbers=(((1,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<6x8xf32>, tensor<8x8xf32>) -> tensor<6x8xf32>
    %39 = jax.mul %18, %38 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %40 = jax.mul %38, %11 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %41 = jax.add_any %38, %40 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %42 = jax.mul %17, %41 : (tensor<1x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %43 = jax.neg %42 : (tensor<6x8xf32>) -> tensor<6x8xf32>
    %44 = jax.add_any %39, %43 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %45 = jax.mul %44, %12 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %46 = jax.mul %45, %11 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %47 = jax.add_any %45, %46 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %48 = jax.dot_general %47, %params.1.0 {params = "dimension_numbers=(((1,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<6x8xf32>, tensor<8x8xf32>) -> tensor<6x8xf32>
    %49 = jax.add_any %32, %48 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %50 = jax.neg %36 : (tensor<6x8xf32>) -> tensor<6x8xf32>
    %51 = jax.add_any %49, %50 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %52 = jax.mul %51, %10 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %53 = jax.mul %52, %8 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %54 = jax.add_any %52, %53 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
    %55 = jax.dot_general %54, %params.0.0 {params = "dimension_numbers=(((1,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<6x8xf32>, tensor<2x8xf32>) -> tensor<6x2xf32>
    %56, %57 = jax.unstack %55 {params = "axis=1"} : (tensor<6x2xf32>) -> (tensor<6xf32>, tensor<6xf32>)
    %58 = jax.mul %14, %27 : (tensor<6xf32>, tensor<6xf32>) -> tensor<6xf32>
    %59 = jax.add %26, %58 : (tensor<6xf32>, tensor<6xf32>) -> tensor<6xf32>
    %60 = tessera.graph.constant {value = 0.00318309898 : f32} : () -> tensor<f32>
    %61 = jax.mul %60, %57 : (tensor<f32>, tensor<6xf32>) -> tensor<6xf32>
    %62 = jax.sub %59, %61 : (tensor<6xf32>, tensor<6xf32>) -> tensor<6xf32>
    %63 = jax.broadcast_in_dim %28 {params = "shape=(3,)"} : (tensor<f32>) -> tensor<3xf32>
    %64 = jax.stack %63, %start {params = "axis=1"} : (tensor<3xf32>, tensor<3xf32>) -> tensor<3x2xf32>
    %65 = tessera.graph.matmul %64, %params.0.0, %params.0.1 {present = [true, true, true, false], activation = "tanh", accumulate = "float32"} : (tensor<3x2xf32>, tensor<2x8xf32>, tensor<8xf32>) -> tensor<3x8xf32>
    %66 = tessera.graph.matmul %65, %params.1.0, %params.1.1 {present = [true, true, true, false], activation = "tanh", accumulate = "float32"} : (tensor<3x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<3x8xf32>
    %67 = tessera.graph.matmul %66, %params.2.0, %params.2.1 {present = [true, true, true, false], accumulate = "float32"} : (tensor<3x8xf32>, tensor<8x1xf32>, tensor<1xf32>) -> tensor<3x1xf32>
    %68 = jax.squeeze %67 {params = "dimensions=(1,)"} : (tensor<3x1xf32>) -> tensor<3xf32>
    %69 = tessera.graph.constant {value = 3.14159274 : f32} : () -> tensor<f32>
    %70 = jax.mul %69, %start : (tensor<f32>, tensor<3xf32>) -> tensor<3xf32>
    %71 = jax.sin %70 : (tensor<3xf32>) -> tensor<3xf32>
    %72 = jax.add %68, %71 : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
    %73 = jax.integer_pow %62 {params = "y=2"} : (tensor<6xf32>) -> tensor<6xf32>
    %74 = jax.reduce_sum %73 {params = "axes=(0,)"} : (tensor<6xf32>) -> tensor<f32>
    %75 = tessera.graph.constant {value = 6.000000e+00 : f32} : () -> tensor<f32>
    %76 = jax.div %74, %75 : (tensor<f32>, tensor<f32>) -> tensor<f32>
    %77 = jax.integer_pow %72 {params = "y=2"} : (tensor<3xf32>) -> tensor<3xf32>
    %78 = jax.reduce_sum %77 {params = "axes=(0,)"} : (tensor<3xf32>) -> tensor<f32>
    %79 = tessera.graph.constant {value = 3.000000e+00 : f32} : () -> tensor<f32>
    %80 = jax.div %78, %79 : (tensor<f32>, tensor<f32>) -> tensor<f32>
    %81 = jax.add %76, %80 : (tensor<f32>, tensor<f32>) -> tensor<f32>
    tessera.graph.return %81 : tensor<f32>
  }
}
