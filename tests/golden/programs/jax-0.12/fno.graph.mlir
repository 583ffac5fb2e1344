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
    %60 = jax.pad %59, %43 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %61 = jax.fft %60 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
    %62 = jax.transpose %61 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
    %63 = tessera.graph.matmul %19, %24, %62 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %64 = tessera.graph.gelu %63 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %65, %66 = jax.unstack %21 {params = "axis=0"} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>)
    %67 = jax.slice %65 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %68 = jax.squeeze %67 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %69 = jax.slice %65 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %70 = jax.squeeze %69 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %71 = jax.complex %68, %70 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %72 = jax.slice %66 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %73 = jax.squeeze %72 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %74 = jax.slice %66 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %75 = jax.squeeze %74 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %76 = jax.complex %73, %75 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %77 = jax.transpose %64 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
    %78 = jax.fft %77 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
    %79 = jax.transpose %78 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %80 = jax.slice %79 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %81 = jax.dot_general %71, %80 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %82 = jax.transpose %81 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %83 = jax.slice %79 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %84 = jax.dot_general %76, %83 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %85 = jax.transpose %84 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %86 = jax.scatter %44, %53, %82 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %87 = jax.scatter %86, %57, %85 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %88 = jax.transpose %87 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %89 = jax.pad %88, %43 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %90 = jax.fft %89 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
    %91 = jax.transpose %90 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
    %92 = tessera.graph.matmul %64, %25, %91 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %93 = tessera.graph.gelu %92 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %94, %95 = jax.unstack %22 {params = "axis=0"} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>)
    %96 = jax.slice %94 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %97 = jax.squeeze %96 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %98 = jax.slice %94 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %99 = jax.squeeze %98 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %100 = jax.complex %97, %99 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %101 = jax.slice %95 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %102 = jax.squeeze %101 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %103 = jax.slice %95 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %104 = jax.squeeze %103 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %105 = jax.complex %102, %104 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %106 = jax.transpose %93 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
    %107 = jax.fft %106 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
    %108 = jax.transpose %107 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %109 = jax.slice %108 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %110 = jax.dot_general %100, %109 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %111 = jax.transpose %110 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %112 = jax.slice %108 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %113 = jax.dot_general %105, %112 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %114 = jax.transpose %113 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %115 = jax.scatter %44, %53, %111 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %116 = jax.scatter %115, %57, %114 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %117 = jax.transpose %116 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %118 = jax.pad %117, %43 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %119 = jax.fft %118 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
    %120 = jax.transpose %119 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
    %121 = tessera.graph.matmul %93, %26, %120 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %122 = tessera.graph.gelu %121 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %123, %124 = jax.unstack %23 {params = "axis=0"} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>)
    %125 = jax.slice %123 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %126 = jax.squeeze %125 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %127 = jax.slice %123 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %128 = jax.squeeze %127 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %129 = jax.complex %126, %128 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %130 = jax.slice %124 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %131 = jax.squeeze %130 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %132 = jax.slice %124 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
    %133 = jax.squeeze %132 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
    %134 = jax.complex %131, %133 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
    %135 = jax.transpose %122 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
    %136 = jax.fft %135 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
    %137 = jax.transpose %136 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %138 = jax.slice %137 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %139 = jax.dot_general %129, %138 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %140 = jax.transpose %139 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %141 = jax.slice %137 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %142 = jax.dot_general %134, %141 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
    %143 = jax.transpose %142 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
    %144 = jax.scatter %44, %53, %140 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %145 = jax.scatter %144, %57, %143 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
    %146 = jax.transpose %145 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %147 = jax.pad %146, %43 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
    %148 = jax.fft %147 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
    %149 = jax.transpose %148 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
    %150 = tessera.graph.matmul %122, %27, %149 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %151 = tessera.graph.gelu %150 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
    %152 = jax.dot_general %151, %params.project {params = "dimension_numbers=(((3,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<2x8x8x4xf32>, tensor<4x1xf32>) -> tensor<2x8x8x1xf32>
    %153 = jax.integer_pow %field {params = "y=2"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
    %154 = jax.sub %152, %153 : (tensor<2x8x8x1xf32>, tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
    %155 = jax.integer_pow %154 {params = "y=2"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
    %156 = jax.reduce_sum %155 {params = "axes=(0, 1, 2, 3)"} : (tensor<2x8x8x1xf32>) -> tensor<f32>
    %157 = jax.integer_pow %field {params = "y=4"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
    %158 = jax.reduce_sum %157 {params = "axes=(0, 1, 2, 3)"} : (tensor<2x8x8x1xf32>) -> tensor<f32>
    %159 = jax.div %156, %158 : (tensor<f32>, tensor<f32>) -> tensor<f32>
    %160 = jax.sqrt %159 : (tensor<f32>) -> tensor<f32>
    tessera.graph.return %160 : tensor<f32>
  }
}
