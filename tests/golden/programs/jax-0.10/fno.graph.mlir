module @loss attributes {level = "graph"} {
  tessera.graph.func @loss(%params.lift: tensor<3x4xf32>, %params.project: tensor<4x1xf32>, %params.skip: tensor<4x4x4xf32>, %params.spectral: tensor<4x2x2x3x3x4x4xf32>, %field: tensor<2x8x8x1xf32>) -> tensor<f32> {
    %0 = tessera.graph.constant {value = 0.000000e+00 : f32} : () -> tensor<f32>
    %1 = tessera.graph.constant {value = 1.000000e+00 : f32} : () -> tensor<f32>
    %2 = tessera.graph.constant {value = 7.000000e+00 : f32} : () -> tensor<f32>
    %3 = jax.iota {params = "dtype=float32 shape=(7,) dimension=0"} : () -> tensor<7xf32>
    %4 = jax.div %3, %2 : (tensor<7xf32>, tensor<f32>) -> tensor<7xf32>
    %5 = jax.reshape %0 {params = "new_sizes=(1,)"} : (tensor<f32>) -> tensor<1xf32>
    %6 = jax.sub %1, %4 : (tensor<f32>, tensor<7xf32>) -> tensor<7xf32>
    %7 = jax.mul %5, %6 : (tensor<1xf32>, tensor<7xf32>) -> tensor<7xf32>
    %8 = jax.add %7, %4 : (tensor<7xf32>, tensor<7xf32>) -> tensor<7xf32>
    %9 = jax.broadcast_in_dim %1 {params = "shape=(1,)"} : (tensor<f32>) -> tensor<1xf32>
    %10 = jax.concatenate %8, %9 {params = "dimension=0"} : (tensor<7xf32>, tensor<1xf32>) -> tensor<8xf32>
    %11 = jax.broadcast_in_dim %10 {params = "shape=(8, 8) broadcast_dimensions=(0,)"} : (tensor<8xf32>) -> tensor<8x8xf32>
    %12 = jax.broadcast_in_dim %10 {params = "shape=(8, 8) broadcast_dimensions=(1,)"} : (tensor<8xf32>) -> tensor<8x8xf32>
    %13 = jax.stack %11, %12 {params = "axis=2"} : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8x2xf32>
    %14 = jax.broadcast_in_dim %13 {params = "shape=(2, 8, 8, 2) broadcast_dimensions=(1, 2, 3)"} : (tensor<8x8x2xf32>) -> tensor<2x8x8x2xf32>
    %15 = jax.concatenate %field, %14 {params = "dimension=3"} : (tensor<2x8x8x1xf32>, tensor<2x8x8x2xf32>) -> tensor<2x8x8x3xf32>
    %16 = jax.dot_general %15, %params.lift {params = "dimension_numbers=(((3,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<2x8x8x3xf32>, tensor<3x4xf32>) -> tensor<2x8x8x4xf32>
    %17 = jax.slice %params.spectral {params = "start_indices=(0, 0, 0, 0, 0, 0, 0) limit_indices=(1, 2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1, 1)"} : (tensor<4x2x2x3x3x4x4xf32>) -> tensor<1x2x2x3x3x4x4xf32>
    %18 = jax.squeeze %17 {params = "dimensions=(0,)"} : (tensor<1x2x2x3x3x4x4xf32>) -> tensor<2x2x3x3x4x4xf32>
    %19 = jax.slice %params.skip {params = "start_indices=(0, 0, 0) limit_indices=(1, 4, 4) strides=(1, 1, 1)"} : (tensor<4x4x4xf32>) -> tensor<1x4x4xf32>
    %20 = jax.squeeze %19 {params = "dimensions=(0,)"} : (tensor<1x4x4xf32>) -> tensor<4x4xf32>
    %21 = jax.slice %18 {params = "start_indices=(0, 0, 0, 0, 0, 0) limit_indices=(1, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
    %22 = jax.squeeze %21 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
    %23 = jax.slice %22 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %24 = jax.squeeze %23 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %25 = jax.slice %22 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %26 = jax.squeeze %25 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %27 = jax.complex %24, %26 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %28 = jax.slice %18 {params = "start_indices=(1, 0, 0, 0, 0, 0) limit_indices=(2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
    %29 = jax.squeeze %28 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
    %30 = jax.slice %29 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %31 = jax.squeeze %30 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %32 = jax.slice %29 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %33 = jax.squeeze %32 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %34 = jax.complex %31, %33 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %35 = jax.transpose %16 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
    %36 = jax.fft %35 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
    %37 = jax.transpose %36 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %38 = tessera.graph.constant {value = "0j"} : () -> tensor<complex<f32>>
    %39 = jax.broadcast_in_dim %38 {params = "shape=(2, 8, 5, 4)"} : (tensor<complex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %40 = jax.slice %37 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %41 = jax.dot_general %27, %40 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %42 = jax.transpose %41 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %43 = jax.slice %37 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %44 = jax.dot_general %34, %43 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %45 = jax.transpose %44 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %46 = tessera.graph.constant {value = 0 : i32} : () -> tensor<i32>
    %47 = jax.broadcast_in_dim %46 {params = "shape=(1,)"} : (tensor<i32>) -> tensor<1xi32>
    %48 = jax.concatenate %47, %47 {params = "dimension=0"} : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>
    %49 = jax.scatter %39, %48, %42 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %50 = tessera.graph.constant {value = 5 : i32} : () -> tensor<i32>
    %51 = jax.broadcast_in_dim %50 {params = "shape=(1,)"} : (tensor<i32>) -> tensor<1xi32>
    %52 = jax.concatenate %51, %47 {params = "dimension=0"} : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>
    %53 = jax.scatter %49, %52, %45 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %54 = jax.transpose %53 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %55 = jax.pad %54, %38 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %56 = jax.fft %55 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
    %57 = jax.transpose %56 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
    %58 = tessera.graph.matmul %16, %20, %57 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %59 = tessera.graph.gelu %58 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %60 = jax.slice %params.spectral {params = "start_indices=(1, 0, 0, 0, 0, 0, 0) limit_indices=(2, 2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1, 1)"} : (tensor<4x2x2x3x3x4x4xf32>) -> tensor<1x2x2x3x3x4x4xf32>
    %61 = jax.squeeze %60 {params = "dimensions=(0,)"} : (tensor<1x2x2x3x3x4x4xf32>) -> tensor<2x2x3x3x4x4xf32>
    %62 = jax.slice %params.skip {params = "start_indices=(1, 0, 0) limit_indices=(2, 4, 4) strides=(1, 1, 1)"} : (tensor<4x4x4xf32>) -> tensor<1x4x4xf32>
    %63 = jax.squeeze %62 {params = "dimensions=(0,)"} : (tensor<1x4x4xf32>) -> tensor<4x4xf32>
    %64 = jax.slice %61 {params = "start_indices=(0, 0, 0, 0, 0, 0) limit_indices=(1, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
    %65 = jax.squeeze %64 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
    %66 = jax.slice %65 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %67 = jax.squeeze %66 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %68 = jax.slice %65 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %69 = jax.squeeze %68 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %70 = jax.complex %67, %69 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %71 = jax.slice %61 {params = "start_indices=(1, 0, 0, 0, 0, 0) limit_indices=(2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
    %72 = jax.squeeze %71 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
    %73 = jax.slice %72 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %74 = jax.squeeze %73 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %75 = jax.slice %72 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %76 = jax.squeeze %75 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %77 = jax.complex %74, %76 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %78 = jax.transpose %59 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
    %79 = jax.fft %78 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
    %80 = jax.transpose %79 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %81 = jax.slice %80 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %82 = jax.dot_general %70, %81 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %83 = jax.transpose %82 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %84 = jax.slice %80 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %85 = jax.dot_general %77, %84 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %86 = jax.transpose %85 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %87 = jax.scatter %39, %48, %83 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %88 = jax.scatter %87, %52, %86 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %89 = jax.transpose %88 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %90 = jax.pad %89, %38 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %91 = jax.fft %90 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
    %92 = jax.transpose %91 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
    %93 = tessera.graph.matmul %59, %63, %92 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %94 = tessera.graph.gelu %93 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %95 = jax.slice %params.spectral {params = "start_indices=(2, 0, 0, 0, 0, 0, 0) limit_indices=(3, 2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1, 1)"} : (tensor<4x2x2x3x3x4x4xf32>) -> tensor<1x2x2x3x3x4x4xf32>
    %96 = jax.squeeze %95 {params = "dimensions=(0,)"} : (tensor<1x2x2x3x3x4x4xf32>) -> tensor<2x2x3x3x4x4xf32>
    %97 = jax.slice %params.skip {params = "start_indices=(2, 0, 0) limit_indices=(3, 4, 4) strides=(1, 1, 1)"} : (tensor<4x4x4xf32>) -> tensor<1x4x4xf32>
    %98 = jax.squeeze %97 {params = "dimensions=(0,)"} : (tensor<1x4x4xf32>) -> tensor<4x4xf32>
    %99 = jax.slice %96 {params = "start_indices=(0, 0, 0, 0, 0, 0) limit_indices=(1, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
    %100 = jax.squeeze %99 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
    %101 = jax.slice %100 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %102 = jax.squeeze %101 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %103 = jax.slice %100 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %104 = jax.squeeze %103 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %105 = jax.complex %102, %104 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %106 = jax.slice %96 {params = "start_indices=(1, 0, 0, 0, 0, 0) limit_indices=(2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
    %107 = jax.squeeze %106 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
    %108 = jax.slice %107 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %109 = jax.squeeze %108 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %110 = jax.slice %107 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %111 = jax.squeeze %110 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %112 = jax.complex %109, %111 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %113 = jax.transpose %94 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
    %114 = jax.fft %113 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
    %115 = jax.transpose %114 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %116 = jax.slice %115 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %117 = jax.dot_general %105, %116 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %118 = jax.transpose %117 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %119 = jax.slice %115 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %120 = jax.dot_general %112, %119 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %121 = jax.transpose %120 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %122 = jax.scatter %39, %48, %118 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %123 = jax.scatter %122, %52, %121 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %124 = jax.transpose %123 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %125 = jax.pad %124, %38 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %126 = jax.fft %125 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
    %127 = jax.transpose %126 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
    %128 = tessera.graph.matmul %94, %98, %127 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %129 = tessera.graph.gelu %128 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %130 = jax.slice %params.spectral {params = "start_indices=(3, 0, 0, 0, 0, 0, 0) limit_indices=(4, 2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1, 1)"} : (tensor<4x2x2x3x3x4x4xf32>) -> tensor<1x2x2x3x3x4x4xf32>
    %131 = jax.squeeze %130 {params = "dimensions=(0,)"} : (tensor<1x2x2x3x3x4x4xf32>) -> tensor<2x2x3x3x4x4xf32>
    %132 = jax.slice %params.skip {params = "start_indices=(3, 0, 0) limit_indices=(4, 4, 4) strides=(1, 1, 1)"} : (tensor<4x4x4xf32>) -> tensor<1x4x4xf32>
    %133 = jax.squeeze %132 {params = "dimensions=(0,)"} : (tensor<1x4x4xf32>) -> tensor<4x4xf32>
    %134 = jax.slice %131 {params = "start_indices=(0, 0, 0, 0, 0, 0) limit_indices=(1, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
    %135 = jax.squeeze %134 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
    %136 = jax.slice %135 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %137 = jax.squeeze %136 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %138 = jax.slice %135 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %139 = jax.squeeze %138 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %140 = jax.complex %137, %139 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %141 = jax.slice %131 {params = "start_indices=(1, 0, 0, 0, 0, 0) limit_indices=(2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
    %142 = jax.squeeze %141 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
    %143 = jax.slice %142 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %144 = jax.squeeze %143 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %145 = jax.slice %142 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %146 = jax.squeeze %145 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %147 = jax.complex %144, %146 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %148 = jax.transpose %129 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
    %149 = jax.fft %148 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
    %150 = jax.transpose %149 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %151 = jax.slice %150 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %152 = jax.dot_general %140, %151 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %153 = jax.transpose %152 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %154 = jax.slice %150 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %155 = jax.dot_general %147, %154 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %156 = jax.transpose %155 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %157 = jax.scatter %39, %48, %153 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %158 = jax.scatter %157, %52, %156 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %159 = jax.transpose %158 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %160 = jax.pad %159, %38 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %161 = jax.fft %160 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
    %162 = jax.transpose %161 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
    %163 = tessera.graph.matmul %129, %133, %162 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %164 = tessera.graph.gelu %163 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %165 = jax.dot_general %164, %params.project {params = "dimension_numbers=(((3,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<2x8x8x4xf32>, tensor<4x1xf32>) -> tensor<2x8x8x1xf32>
    %166 = jax.integer_pow %field {params = "y=2"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
    %167 = jax.sub %165, %166 : (tensor<2x8x8x1xf32>, tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
    %168 = jax.integer_pow %167 {params = "y=2"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
    %169 = jax.reduce_sum %168 {params = "axes=(0, 1, 2, 3)"} : (tensor<2x8x8x1xf32>) -> tensor<f32>
    %170 = jax.integer_pow %field {params = "y=4"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
    %171 = jax.reduce_sum %170 {params = "axes=(0, 1, 2, 3)"} : (tensor<2x8x8x1xf32>) -> tensor<f32>
    %172 = jax.div %169, %171 : (tensor<f32>, tensor<f32>) -> tensor<f32>
    %173 = jax.sqrt %172 : (tensor<f32>) -> tensor<f32>
    tessera.graph.return %173 : tensor<f32>
  }
}
