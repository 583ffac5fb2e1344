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
    %8 = jax.reshape %1 {params = "new_sizes=(1,)"} : (tensor<f32>) -> tensor<1xf32>
    %9 = jax.div %8, %2 : (tensor<1xf32>, tensor<f32>) -> tensor<1xf32>
    %10 = jax.mul %9, %3 : (tensor<1xf32>, tensor<7xf32>) -> tensor<7xf32>
    %11 = jax.add %7, %10 : (tensor<7xf32>, tensor<7xf32>) -> tensor<7xf32>
    %12 = jax.broadcast_in_dim %1 {params = "shape=(1,)"} : (tensor<f32>) -> tensor<1xf32>
    %13 = jax.concatenate %11, %12 {params = "dimension=0"} : (tensor<7xf32>, tensor<1xf32>) -> tensor<8xf32>
    %14 = jax.broadcast_in_dim %13 {params = "shape=(8, 8) broadcast_dimensions=(0,)"} : (tensor<8xf32>) -> tensor<8x8xf32>
    %15 = jax.broadcast_in_dim %13 {params = "shape=(8, 8) broadcast_dimensions=(1,)"} : (tensor<8xf32>) -> tensor<8x8xf32>
    %16 = jax.stack %14, %15 {params = "axis=2"} : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8x2xf32>
    %17 = jax.broadcast_in_dim %16 {params = "shape=(2, 8, 8, 2) broadcast_dimensions=(1, 2, 3)"} : (tensor<8x8x2xf32>) -> tensor<2x8x8x2xf32>
    %18 = jax.concatenate %field, %17 {params = "dimension=3"} : (tensor<2x8x8x1xf32>, tensor<2x8x8x2xf32>) -> tensor<2x8x8x3xf32>
    %19 = jax.dot_general %18, %params.lift {params = "dimension_numbers=(((3,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<2x8x8x3xf32>, tensor<3x4xf32>) -> tensor<2x8x8x4xf32>
    %20, %21, %22, %23 = jax.unstack %params.spectral {params = "axis=0"} : (tensor<4x2x2x3x3x4x4xf32>) -> (tensor<2x2x3x3x4x4xf32>, tensor<2x2x3x3x4x4xf32>, tensor<2x2x3x3x4x4xf32>, tensor<2x2x3x3x4x4xf32>)
    %24, %25, %26, %27 = jax.unstack %params.skip {params = "axis=0"} : (tensor<4x4x4xf32>) -> (tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>)
    %28, %29 = jax.unstack %20 {params = "axis=0"} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>)
    %30 = jax.slice %28 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %31 = jax.squeeze %30 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %32 = jax.slice %28 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %33 = jax.squeeze %32 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %34 = jax.complex %31, %33 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %35 = jax.slice %29 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %36 = jax.squeeze %35 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %37 = jax.slice %29 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %38 = jax.squeeze %37 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %39 = jax.complex %36, %38 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %40 = jax.transpose %19 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
    %41 = jax.fft %40 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
    %42 = jax.transpose %41 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %43 = tessera.graph.constant {value = "0j"} : () -> tensor<complex<f32>>
    %44 = jax.broadcast_in_dim %43 {params = "shape=(2, 8, 5, 4)"} : (tensor<complex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %45 = jax.slice %42 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %46 = jax.dot_general %34, %45 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %47 = jax.transpose %46 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %48 = jax.slice %42 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %49 = jax.dot_general %39, %48 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %50 = jax.transpose %49 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %51 = tessera.graph.constant {value = 0 : i32} : () -> tensor<i32>
    %52 = jax.broadcast_in_dim %51 {params = "shape=(1,)"} : (tensor<i32>) -> tensor<1xi32>
    %53 = jax.concatenate %52, %52 {params = "dimension=0"} : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>
    %54 = jax.scatter %44, %53, %47 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %55 = tessera.graph.constant {value = 5 : i32} : () -> tensor<i32>
    %56 = jax.broadcast_in_dim %55 {params = "shape=(1,)"} : (tensor<i32>) -> tensor<1xi32>
    %57 = jax.concatenate %56, %52 {params = "dimension=0"} : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>
    %58 = jax.scatter %54, %57, %50 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %59 = jax.transpose %58 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %60 = tessera.graph.constant {value = 0 : i32} : () -> tensor<i32>
    %61 = jax.convert_element_type %60 {params = "new_dtype=complex64"} : (tensor<i32>) -> tensor<complex<f32>>
    %62 = jax.pad %59, %61 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %63 = jax.fft %62 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
    %64 = jax.transpose %63 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
    %65 = tessera.graph.matmul %19, %24, %64 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %66 = tessera.graph.gelu %65 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %67, %68 = jax.unstack %21 {params = "axis=0"} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>)
    %69 = jax.slice %67 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %70 = jax.squeeze %69 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %71 = jax.slice %67 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %72 = jax.squeeze %71 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %73 = jax.complex %70, %72 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %74 = jax.slice %68 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %75 = jax.squeeze %74 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %76 = jax.slice %68 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %77 = jax.squeeze %76 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %78 = jax.complex %75, %77 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %79 = jax.transpose %66 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
    %80 = jax.fft %79 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
    %81 = jax.transpose %80 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %82 = jax.slice %81 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %83 = jax.dot_general %73, %82 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %84 = jax.transpose %83 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %85 = jax.slice %81 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %86 = jax.dot_general %78, %85 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %87 = jax.transpose %86 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %88 = jax.scatter %44, %53, %84 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %89 = jax.scatter %88, %57, %87 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %90 = jax.transpose %89 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %91 = jax.pad %90, %61 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %92 = jax.fft %91 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
    %93 = jax.transpose %92 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
    %94 = tessera.graph.matmul %66, %25, %93 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %95 = tessera.graph.gelu %94 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %96, %97 = jax.unstack %22 {params = "axis=0"} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>)
    %98 = jax.slice %96 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %99 = jax.squeeze %98 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %100 = jax.slice %96 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %101 = jax.squeeze %100 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %102 = jax.complex %99, %101 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %103 = jax.slice %97 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %104 = jax.squeeze %103 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %105 = jax.slice %97 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %106 = jax.squeeze %105 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %107 = jax.complex %104, %106 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %108 = jax.transpose %95 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
    %109 = jax.fft %108 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
    %110 = jax.transpose %109 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %111 = jax.slice %110 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %112 = jax.dot_general %102, %111 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %113 = jax.transpose %112 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %114 = jax.slice %110 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %115 = jax.dot_general %107, %114 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %116 = jax.transpose %115 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %117 = jax.scatter %44, %53, %113 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %118 = jax.scatter %117, %57, %116 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %119 = jax.transpose %118 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %120 = jax.pad %119, %61 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %121 = jax.fft %120 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
    %122 = jax.transpose %121 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
    %123 = tessera.graph.matmul %95, %26, %122 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %124 = tessera.graph.gelu %123 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %125, %126 = jax.unstack %23 {params = "axis=0"} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>)
    %127 = jax.slice %125 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %128 = jax.squeeze %127 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %129 = jax.slice %125 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %130 = jax.squeeze %129 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %131 = jax.complex %128, %130 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %132 = jax.slice %126 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %133 = jax.squeeze %132 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %134 = jax.slice %126 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %135 = jax.squeeze %134 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %136 = jax.complex %133, %135 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %137 = jax.transpose %124 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
    %138 = jax.fft %137 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
    %139 = jax.transpose %138 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %140 = jax.slice %139 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %141 = jax.dot_general %131, %140 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %142 = jax.transpose %141 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %143 = jax.slice %139 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %144 = jax.dot_general %136, %143 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %145 = jax.transpose %144 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %146 = jax.scatter %44, %53, %142 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %147 = jax.scatter %146, %57, %145 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %148 = jax.transpose %147 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %149 = jax.pad %148, %61 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %150 = jax.fft %149 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
    %151 = jax.transpose %150 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
    %152 = tessera.graph.matmul %124, %27, %151 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %153 = tessera.graph.gelu %152 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %154 = jax.dot_general %153, %params.project {params = "dimension_numbers=(((3,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<2x8x8x4xf32>, tensor<4x1xf32>) -> tensor<2x8x8x1xf32>
    %155 = jax.integer_pow %field {params = "y=2"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
    %156 = jax.sub %154, %155 : (tensor<2x8x8x1xf32>, tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
    %157 = jax.integer_pow %156 {params = "y=2"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
    %158 = jax.reduce_sum %157 {params = "axes=(0, 1, 2, 3)"} : (tensor<2x8x8x1xf32>) -> tensor<f32>
    %159 = jax.integer_pow %field {params = "y=4"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
    %160 = jax.reduce_sum %159 {params = "axes=(0, 1, 2, 3)"} : (tensor<2x8x8x1xf32>) -> tensor<f32>
    %161 = jax.div %158, %160 : (tensor<f32>, tensor<f32>) -> tensor<f32>
    %162 = jax.sqrt %161 : (tensor<f32>) -> tensor<f32>
    tessera.graph.return %162 : tensor<f32>
  }
}
