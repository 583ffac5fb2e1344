module @loss attributes {level = "schedule"} {
  tessera.graph.func @loss(%params.lift: tensor<3x4xf32>, %params.project: tensor<4x1xf32>, %params.skip: tensor<4x4x4xf32>, %params.spectral: tensor<4x2x2x3x3x4x4xf32>, %field: tensor<2x8x8x1xf32>) -> tensor<f32> {
    %0 = tessera.schedule.xla() {pattern = "div+sub+mul+div+mul+add", runs = "xla", reason = "no Tessera op in it: jax.add, jax.div, jax.iota, jax.mul", flops = 36 : i64, bytes = 36 : i64, seconds = 3.600000e-09 : f64} : () -> tensor<7xf32> {
      %1 = tessera.graph.constant {value = 0.000000e+00 : f32} : () -> tensor<f32>
      %2 = tessera.graph.constant {value = 1.000000e+00 : f32} : () -> tensor<f32>
      %3 = tessera.graph.constant {value = 7.000000e+00 : f32} : () -> tensor<f32>
      %4 = jax.iota {params = "dtype=float32 shape=(7,) dimension=0"} : () -> tensor<7xf32>
      %5 = jax.div %4, %3 : (tensor<7xf32>, tensor<f32>) -> tensor<7xf32>
      %6 = jax.sub %2, %5 : (tensor<f32>, tensor<7xf32>) -> tensor<7xf32>
      %7 = jax.reshape %1 {params = "new_sizes=(1,)"} : (tensor<f32>) -> tensor<1xf32>
      %8 = jax.mul %7, %6 : (tensor<1xf32>, tensor<7xf32>) -> tensor<7xf32>
      %9 = jax.reshape %2 {params = "new_sizes=(1,)"} : (tensor<f32>) -> tensor<1xf32>
      %10 = jax.div %9, %3 : (tensor<1xf32>, tensor<f32>) -> tensor<1xf32>
      %11 = jax.mul %10, %4 : (tensor<1xf32>, tensor<7xf32>) -> tensor<7xf32>
      %12 = jax.add %8, %11 : (tensor<7xf32>, tensor<7xf32>) -> tensor<7xf32>
      tessera.schedule.yield %12 : tensor<7xf32>
    }
    %13 = tessera.schedule.xla(%14 = %0) {pattern = "concatenate", runs = "xla", reason = "no Tessera op in it: jax.broadcast_in_dim, jax.concatenate", flops = 0 : i64, bytes = 64 : i64, seconds = 6.400000e-09 : f64} : (tensor<7xf32>) -> tensor<8xf32> {
      %15 = tessera.graph.constant {value = 1.000000e+00 : f32} : () -> tensor<f32>
      %16 = jax.broadcast_in_dim %15 {params = "shape=(1,)"} : (tensor<f32>) -> tensor<1xf32>
      %17 = jax.concatenate %14, %16 {params = "dimension=0"} : (tensor<7xf32>, tensor<1xf32>) -> tensor<8xf32>
      tessera.schedule.yield %17 : tensor<8xf32>
    }
    %18 = tessera.schedule.xla(%19 = %13) {pattern = "broadcast_in_dim", runs = "xla", reason = "no Tessera op in it: jax.broadcast_in_dim", flops = 0 : i64, bytes = 288 : i64, seconds = 2.880000e-08 : f64} : (tensor<8xf32>) -> tensor<8x8xf32> {
      %20 = jax.broadcast_in_dim %19 {params = "shape=(8, 8) broadcast_dimensions=(0,)"} : (tensor<8xf32>) -> tensor<8x8xf32>
      tessera.schedule.yield %20 : tensor<8x8xf32>
    }
    %21 = tessera.schedule.xla(%22 = %13) {pattern = "broadcast_in_dim", runs = "xla", reason = "no Tessera op in it: jax.broadcast_in_dim", flops = 0 : i64, bytes = 288 : i64, seconds = 2.880000e-08 : f64} : (tensor<8xf32>) -> tensor<8x8xf32> {
      %23 = jax.broadcast_in_dim %22 {params = "shape=(8, 8) broadcast_dimensions=(1,)"} : (tensor<8xf32>) -> tensor<8x8xf32>
      tessera.schedule.yield %23 : tensor<8x8xf32>
    }
    %24 = tessera.schedule.xla(%25 = %18, %26 = %21) {pattern = "stack", runs = "xla", reason = "no Tessera op in it: jax.stack", flops = 0 : i64, bytes = 1024 : i64, seconds = 1.024000e-07 : f64} : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8x2xf32> {
      %27 = jax.stack %25, %26 {params = "axis=2"} : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8x2xf32>
      tessera.schedule.yield %27 : tensor<8x8x2xf32>
    }
    %28 = tessera.schedule.xla(%29 = %24) {pattern = "broadcast_in_dim", runs = "xla", reason = "no Tessera op in it: jax.broadcast_in_dim", flops = 0 : i64, bytes = 1536 : i64, seconds = 1.536000e-07 : f64} : (tensor<8x8x2xf32>) -> tensor<2x8x8x2xf32> {
      %30 = jax.broadcast_in_dim %29 {params = "shape=(2, 8, 8, 2) broadcast_dimensions=(1, 2, 3)"} : (tensor<8x8x2xf32>) -> tensor<2x8x8x2xf32>
      tessera.schedule.yield %30 : tensor<2x8x8x2xf32>
    }
    %31 = tessera.schedule.xla(%field_1 = %field, %32 = %28) {pattern = "concatenate", runs = "xla", reason = "no Tessera op in it: jax.concatenate", flops = 0 : i64, bytes = 3072 : i64, seconds = 3.072000e-07 : f64} : (tensor<2x8x8x1xf32>, tensor<2x8x8x2xf32>) -> tensor<2x8x8x3xf32> {
      %33 = jax.concatenate %field_1, %32 {params = "dimension=3"} : (tensor<2x8x8x1xf32>, tensor<2x8x8x2xf32>) -> tensor<2x8x8x3xf32>
      tessera.schedule.yield %33 : tensor<2x8x8x3xf32>
    }
    %34, %35 = tessera.schedule.xla(%36 = %31, %params.lift_1 = %params.lift) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 3072 : i64, bytes = 5680 : i64, seconds = 5.680000e-07 : f64} : (tensor<2x8x8x3xf32>, tensor<3x4xf32>) -> (tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>) {
      %37 = jax.dot_general %36, %params.lift_1 {params = "dimension_numbers=(((3,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<2x8x8x3xf32>, tensor<3x4xf32>) -> tensor<2x8x8x4xf32>
      %38 = jax.transpose %37 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %37, %38 : tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>
    }
    %39, %40, %41, %42 = tessera.schedule.xla(%params.spectral_1 = %params.spectral) {pattern = "unstack", runs = "xla", reason = "no Tessera op in it: jax.unstack", flops = 2304 : i64, bytes = 18432 : i64, seconds = 1.843200e-06 : f64} : (tensor<4x2x2x3x3x4x4xf32>) -> (tensor<2x2x3x3x4x4xf32>, tensor<2x2x3x3x4x4xf32>, tensor<2x2x3x3x4x4xf32>, tensor<2x2x3x3x4x4xf32>) {
      %43, %44, %45, %46 = jax.unstack %params.spectral_1 {params = "axis=0"} : (tensor<4x2x2x3x3x4x4xf32>) -> (tensor<2x2x3x3x4x4xf32>, tensor<2x2x3x3x4x4xf32>, tensor<2x2x3x3x4x4xf32>, tensor<2x2x3x3x4x4xf32>)
      tessera.schedule.yield %43, %44, %45, %46 : tensor<2x2x3x3x4x4xf32>, tensor<2x2x3x3x4x4xf32>, tensor<2x2x3x3x4x4xf32>, tensor<2x2x3x3x4x4xf32>
    }
    %47, %48, %49, %50 = tessera.schedule.xla(%params.skip_1 = %params.skip) {pattern = "unstack", runs = "xla", reason = "no Tessera op in it: jax.unstack", flops = 64 : i64, bytes = 512 : i64, seconds = 5.120000e-08 : f64} : (tensor<4x4x4xf32>) -> (tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>) {
      %51, %52, %53, %54 = jax.unstack %params.skip_1 {params = "axis=0"} : (tensor<4x4x4xf32>) -> (tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>)
      tessera.schedule.yield %51, %52, %53, %54 : tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>, tensor<4x4xf32>
    }
    %55, %56 = tessera.schedule.xla(%57 = %39) {pattern = "unstack", runs = "xla", reason = "no Tessera op in it: jax.unstack", flops = 576 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>) {
      %58, %59 = jax.unstack %57 {params = "axis=0"} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>)
      tessera.schedule.yield %58, %59 : tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>
    }
    %60 = tessera.schedule.xla(%61 = %55) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %62 = jax.slice %61 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %62 : tensor<1x3x3x4x4xf32>
    }
    %63 = tessera.schedule.xla(%64 = %60) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %65 = jax.squeeze %64 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %65 : tensor<3x3x4x4xf32>
    }
    %66 = tessera.schedule.xla(%67 = %55) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %68 = jax.slice %67 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %68 : tensor<1x3x3x4x4xf32>
    }
    %69 = tessera.schedule.xla(%70 = %66, %71 = %63) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %72 = jax.squeeze %70 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %73 = jax.complex %71, %72 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %73 : tensor<3x3x4x4xcomplex<f32>>
    }
    %74 = tessera.schedule.xla(%75 = %56) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %76 = jax.slice %75 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %76 : tensor<1x3x3x4x4xf32>
    }
    %77 = tessera.schedule.xla(%78 = %74) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %79 = jax.squeeze %78 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %79 : tensor<3x3x4x4xf32>
    }
    %80 = tessera.schedule.xla(%81 = %56) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %82 = jax.slice %81 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %82 : tensor<1x3x3x4x4xf32>
    }
    %83 = tessera.schedule.xla(%84 = %80, %85 = %77) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %86 = jax.squeeze %84 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %87 = jax.complex %85, %86 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %87 : tensor<3x3x4x4xcomplex<f32>>
    }
    %88 = tessera.schedule.xla(%89 = %35) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>> {
      %90 = jax.fft %89 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %90 : tensor<2x4x8x5xcomplex<f32>>
    }
    %91 = tessera.schedule.xla(%92 = %88) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %93 = jax.transpose %92 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %93 : tensor<2x8x5x4xcomplex<f32>>
    }
    %94 = tessera.schedule.xla() {pattern = "broadcast_in_dim", runs = "xla", reason = "no Tessera op in it: jax.broadcast_in_dim", flops = 0 : i64, bytes = 2560 : i64, seconds = 2.560000e-07 : f64} : () -> tensor<2x8x5x4xcomplex<f32>> {
      %95 = tessera.graph.constant {value = "0j"} : () -> tensor<complex<f32>>
      %96 = jax.broadcast_in_dim %95 {params = "shape=(2, 8, 5, 4)"} : (tensor<complex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %96 : tensor<2x8x5x4xcomplex<f32>>
    }
    %97 = tessera.schedule.xla(%98 = %91) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %99 = jax.slice %98 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %99 : tensor<2x3x3x4xcomplex<f32>>
    }
    %100 = tessera.schedule.xla(%101 = %69, %102 = %97) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %103 = jax.dot_general %101, %102 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %104 = jax.transpose %103 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %104 : tensor<2x3x3x4xcomplex<f32>>
    }
    %105 = tessera.schedule.xla(%106 = %91) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %107 = jax.slice %106 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %107 : tensor<2x3x3x4xcomplex<f32>>
    }
    %108 = tessera.schedule.xla(%109 = %83, %110 = %105) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %111 = jax.dot_general %109, %110 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %112 = jax.transpose %111 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %112 : tensor<2x3x3x4xcomplex<f32>>
    }
    %113 = tessera.schedule.xla() {pattern = "broadcast_in_dim", runs = "xla", reason = "no Tessera op in it: jax.broadcast_in_dim", flops = 0 : i64, bytes = 4 : i64, seconds = 4.000000e-10 : f64} : () -> tensor<1xi32> {
      %114 = tessera.graph.constant {value = 0 : i32} : () -> tensor<i32>
      %115 = jax.broadcast_in_dim %114 {params = "shape=(1,)"} : (tensor<i32>) -> tensor<1xi32>
      tessera.schedule.yield %115 : tensor<1xi32>
    }
    %116 = tessera.schedule.xla(%117 = %113) {pattern = "concatenate", runs = "xla", reason = "no Tessera op in it: jax.concatenate", flops = 0 : i64, bytes = 16 : i64, seconds = 1.600000e-09 : f64} : (tensor<1xi32>) -> tensor<2xi32> {
      %118 = jax.concatenate %117, %117 {params = "dimension=0"} : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>
      tessera.schedule.yield %118 : tensor<2xi32>
    }
    %119 = tessera.schedule.xla(%120 = %94, %121 = %116, %122 = %100) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %123 = jax.scatter %120, %121, %122 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %123 : tensor<2x8x5x4xcomplex<f32>>
    }
    %124 = tessera.schedule.xla(%125 = %113) {pattern = "concatenate", runs = "xla", reason = "no Tessera op in it: jax.broadcast_in_dim, jax.concatenate", flops = 0 : i64, bytes = 12 : i64, seconds = 1.200000e-09 : f64} : (tensor<1xi32>) -> tensor<2xi32> {
      %126 = tessera.graph.constant {value = 5 : i32} : () -> tensor<i32>
      %127 = jax.broadcast_in_dim %126 {params = "shape=(1,)"} : (tensor<i32>) -> tensor<1xi32>
      %128 = jax.concatenate %127, %125 {params = "dimension=0"} : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>
      tessera.schedule.yield %128 : tensor<2xi32>
    }
    %129 = tessera.schedule.xla(%130 = %119, %131 = %124, %132 = %108) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %133 = jax.scatter %130, %131, %132 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %133 : tensor<2x8x5x4xcomplex<f32>>
    }
    %134 = tessera.schedule.xla(%135 = %129) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %136 = jax.transpose %135 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %136 : tensor<2x4x8x5xcomplex<f32>>
    }
    %137 = tessera.schedule.xla() {pattern = "convert_element_type", runs = "xla", reason = "no Tessera op in it: jax.convert_element_type", flops = 0 : i64, bytes = 12 : i64, seconds = 1.200000e-09 : f64} : () -> tensor<complex<f32>> {
      %138 = tessera.graph.constant {value = 0 : i32} : () -> tensor<i32>
      %139 = jax.convert_element_type %138 {params = "new_dtype=complex64"} : (tensor<i32>) -> tensor<complex<f32>>
      tessera.schedule.yield %139 : tensor<complex<f32>>
    }
    %140 = tessera.schedule.xla(%141 = %134, %142 = %137) {pattern = "pad", runs = "xla", reason = "no Tessera op in it: jax.pad", flops = 0 : i64, bytes = 5128 : i64, seconds = 5.128000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %143 = jax.pad %141, %142 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %143 : tensor<2x4x8x5xcomplex<f32>>
    }
    %144 = tessera.schedule.xla(%145 = %140) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32> {
      %146 = jax.fft %145 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %146 : tensor<2x4x8x8xf32>
    }
    %147, %148 = tessera.schedule.fuse(%149 = %144, %150 = %34, %151 = %47) {pattern = "matmul+gelu", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 4>, flops = 8704 : i64, bytes = 14400 : i64, seconds = 1.440000e-06 : f64} : (tensor<2x4x8x8xf32>, tensor<2x8x8x4xf32>, tensor<4x4xf32>) -> (tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>) {
      %152 = jax.transpose %149 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
      %153 = tessera.graph.matmul %150, %151, %152 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %154 = tessera.graph.gelu %153 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %155 = jax.transpose %154 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %154, %155 : tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>
    }
    %156, %157 = tessera.schedule.xla(%158 = %40) {pattern = "unstack", runs = "xla", reason = "no Tessera op in it: jax.unstack", flops = 576 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>) {
      %159, %160 = jax.unstack %158 {params = "axis=0"} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>)
      tessera.schedule.yield %159, %160 : tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>
    }
    %161 = tessera.schedule.xla(%162 = %156) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %163 = jax.slice %162 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %163 : tensor<1x3x3x4x4xf32>
    }
    %164 = tessera.schedule.xla(%165 = %161) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %166 = jax.squeeze %165 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %166 : tensor<3x3x4x4xf32>
    }
    %167 = tessera.schedule.xla(%168 = %156) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %169 = jax.slice %168 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %169 : tensor<1x3x3x4x4xf32>
    }
    %170 = tessera.schedule.xla(%171 = %167, %172 = %164) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %173 = jax.squeeze %171 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %174 = jax.complex %172, %173 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %174 : tensor<3x3x4x4xcomplex<f32>>
    }
    %175 = tessera.schedule.xla(%176 = %157) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %177 = jax.slice %176 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %177 : tensor<1x3x3x4x4xf32>
    }
    %178 = tessera.schedule.xla(%179 = %175) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %180 = jax.squeeze %179 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %180 : tensor<3x3x4x4xf32>
    }
    %181 = tessera.schedule.xla(%182 = %157) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %183 = jax.slice %182 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %183 : tensor<1x3x3x4x4xf32>
    }
    %184 = tessera.schedule.xla(%185 = %181, %186 = %178) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %187 = jax.squeeze %185 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %188 = jax.complex %186, %187 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %188 : tensor<3x3x4x4xcomplex<f32>>
    }
    %189 = tessera.schedule.xla(%190 = %148) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>> {
      %191 = jax.fft %190 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %191 : tensor<2x4x8x5xcomplex<f32>>
    }
    %192 = tessera.schedule.xla(%193 = %189) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %194 = jax.transpose %193 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %194 : tensor<2x8x5x4xcomplex<f32>>
    }
    %195 = tessera.schedule.xla(%196 = %192) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %197 = jax.slice %196 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %197 : tensor<2x3x3x4xcomplex<f32>>
    }
    %198 = tessera.schedule.xla(%199 = %170, %200 = %195) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %201 = jax.dot_general %199, %200 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %202 = jax.transpose %201 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %202 : tensor<2x3x3x4xcomplex<f32>>
    }
    %203 = tessera.schedule.xla(%204 = %192) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %205 = jax.slice %204 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %205 : tensor<2x3x3x4xcomplex<f32>>
    }
    %206 = tessera.schedule.xla(%207 = %184, %208 = %203) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %209 = jax.dot_general %207, %208 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %210 = jax.transpose %209 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %210 : tensor<2x3x3x4xcomplex<f32>>
    }
    %211 = tessera.schedule.xla(%212 = %94, %213 = %116, %214 = %198) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %215 = jax.scatter %212, %213, %214 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %215 : tensor<2x8x5x4xcomplex<f32>>
    }
    %216 = tessera.schedule.xla(%217 = %211, %218 = %124, %219 = %206) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %220 = jax.scatter %217, %218, %219 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %220 : tensor<2x8x5x4xcomplex<f32>>
    }
    %221 = tessera.schedule.xla(%222 = %216) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %223 = jax.transpose %222 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %223 : tensor<2x4x8x5xcomplex<f32>>
    }
    %224 = tessera.schedule.xla(%225 = %221, %226 = %137) {pattern = "pad", runs = "xla", reason = "no Tessera op in it: jax.pad", flops = 0 : i64, bytes = 5128 : i64, seconds = 5.128000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %227 = jax.pad %225, %226 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %227 : tensor<2x4x8x5xcomplex<f32>>
    }
    %228 = tessera.schedule.xla(%229 = %224) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32> {
      %230 = jax.fft %229 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %230 : tensor<2x4x8x8xf32>
    }
    %231, %232 = tessera.schedule.fuse(%233 = %228, %234 = %147, %235 = %48) {pattern = "matmul+gelu", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 4>, flops = 8704 : i64, bytes = 14400 : i64, seconds = 1.440000e-06 : f64} : (tensor<2x4x8x8xf32>, tensor<2x8x8x4xf32>, tensor<4x4xf32>) -> (tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>) {
      %236 = jax.transpose %233 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
      %237 = tessera.graph.matmul %234, %235, %236 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %238 = tessera.graph.gelu %237 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %239 = jax.transpose %238 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %238, %239 : tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>
    }
    %240, %241 = tessera.schedule.xla(%242 = %41) {pattern = "unstack", runs = "xla", reason = "no Tessera op in it: jax.unstack", flops = 576 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>) {
      %243, %244 = jax.unstack %242 {params = "axis=0"} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>)
      tessera.schedule.yield %243, %244 : tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>
    }
    %245 = tessera.schedule.xla(%246 = %240) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %247 = jax.slice %246 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %247 : tensor<1x3x3x4x4xf32>
    }
    %248 = tessera.schedule.xla(%249 = %245) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %250 = jax.squeeze %249 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %250 : tensor<3x3x4x4xf32>
    }
    %251 = tessera.schedule.xla(%252 = %240) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %253 = jax.slice %252 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %253 : tensor<1x3x3x4x4xf32>
    }
    %254 = tessera.schedule.xla(%255 = %251, %256 = %248) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %257 = jax.squeeze %255 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %258 = jax.complex %256, %257 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %258 : tensor<3x3x4x4xcomplex<f32>>
    }
    %259 = tessera.schedule.xla(%260 = %241) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %261 = jax.slice %260 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %261 : tensor<1x3x3x4x4xf32>
    }
    %262 = tessera.schedule.xla(%263 = %259) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %264 = jax.squeeze %263 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %264 : tensor<3x3x4x4xf32>
    }
    %265 = tessera.schedule.xla(%266 = %241) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %267 = jax.slice %266 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %267 : tensor<1x3x3x4x4xf32>
    }
    %268 = tessera.schedule.xla(%269 = %265, %270 = %262) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %271 = jax.squeeze %269 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %272 = jax.complex %270, %271 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %272 : tensor<3x3x4x4xcomplex<f32>>
    }
    %273 = tessera.schedule.xla(%274 = %232) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>> {
      %275 = jax.fft %274 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %275 : tensor<2x4x8x5xcomplex<f32>>
    }
    %276 = tessera.schedule.xla(%277 = %273) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %278 = jax.transpose %277 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %278 : tensor<2x8x5x4xcomplex<f32>>
    }
    %279 = tessera.schedule.xla(%280 = %276) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %281 = jax.slice %280 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %281 : tensor<2x3x3x4xcomplex<f32>>
    }
    %282 = tessera.schedule.xla(%283 = %254, %284 = %279) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %285 = jax.dot_general %283, %284 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %286 = jax.transpose %285 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %286 : tensor<2x3x3x4xcomplex<f32>>
    }
    %287 = tessera.schedule.xla(%288 = %276) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %289 = jax.slice %288 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %289 : tensor<2x3x3x4xcomplex<f32>>
    }
    %290 = tessera.schedule.xla(%291 = %268, %292 = %287) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %293 = jax.dot_general %291, %292 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %294 = jax.transpose %293 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %294 : tensor<2x3x3x4xcomplex<f32>>
    }
    %295 = tessera.schedule.xla(%296 = %94, %297 = %116, %298 = %282) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %299 = jax.scatter %296, %297, %298 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %299 : tensor<2x8x5x4xcomplex<f32>>
    }
    %300 = tessera.schedule.xla(%301 = %295, %302 = %124, %303 = %290) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %304 = jax.scatter %301, %302, %303 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %304 : tensor<2x8x5x4xcomplex<f32>>
    }
    %305 = tessera.schedule.xla(%306 = %300) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %307 = jax.transpose %306 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %307 : tensor<2x4x8x5xcomplex<f32>>
    }
    %308 = tessera.schedule.xla(%309 = %305, %310 = %137) {pattern = "pad", runs = "xla", reason = "no Tessera op in it: jax.pad", flops = 0 : i64, bytes = 5128 : i64, seconds = 5.128000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %311 = jax.pad %309, %310 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %311 : tensor<2x4x8x5xcomplex<f32>>
    }
    %312 = tessera.schedule.xla(%313 = %308) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32> {
      %314 = jax.fft %313 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %314 : tensor<2x4x8x8xf32>
    }
    %315, %316 = tessera.schedule.fuse(%317 = %312, %318 = %231, %319 = %49) {pattern = "matmul+gelu", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 4>, flops = 8704 : i64, bytes = 14400 : i64, seconds = 1.440000e-06 : f64} : (tensor<2x4x8x8xf32>, tensor<2x8x8x4xf32>, tensor<4x4xf32>) -> (tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>) {
      %320 = jax.transpose %317 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
      %321 = tessera.graph.matmul %318, %319, %320 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %322 = tessera.graph.gelu %321 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %323 = jax.transpose %322 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %322, %323 : tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>
    }
    %324, %325 = tessera.schedule.xla(%326 = %42) {pattern = "unstack", runs = "xla", reason = "no Tessera op in it: jax.unstack", flops = 576 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>) {
      %327, %328 = jax.unstack %326 {params = "axis=0"} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>)
      tessera.schedule.yield %327, %328 : tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>
    }
    %329 = tessera.schedule.xla(%330 = %324) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %331 = jax.slice %330 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %331 : tensor<1x3x3x4x4xf32>
    }
    %332 = tessera.schedule.xla(%333 = %329) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %334 = jax.squeeze %333 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %334 : tensor<3x3x4x4xf32>
    }
    %335 = tessera.schedule.xla(%336 = %324) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %337 = jax.slice %336 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %337 : tensor<1x3x3x4x4xf32>
    }
    %338 = tessera.schedule.xla(%339 = %335, %340 = %332) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %341 = jax.squeeze %339 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %342 = jax.complex %340, %341 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %342 : tensor<3x3x4x4xcomplex<f32>>
    }
    %343 = tessera.schedule.xla(%344 = %325) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %345 = jax.slice %344 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %345 : tensor<1x3x3x4x4xf32>
    }
    %346 = tessera.schedule.xla(%347 = %343) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %348 = jax.squeeze %347 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %348 : tensor<3x3x4x4xf32>
    }
    %349 = tessera.schedule.xla(%350 = %325) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %351 = jax.slice %350 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %351 : tensor<1x3x3x4x4xf32>
    }
    %352 = tessera.schedule.xla(%353 = %349, %354 = %346) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %355 = jax.squeeze %353 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %356 = jax.complex %354, %355 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %356 : tensor<3x3x4x4xcomplex<f32>>
    }
    %357 = tessera.schedule.xla(%358 = %316) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>> {
      %359 = jax.fft %358 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %359 : tensor<2x4x8x5xcomplex<f32>>
    }
    %360 = tessera.schedule.xla(%361 = %357) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %362 = jax.transpose %361 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %362 : tensor<2x8x5x4xcomplex<f32>>
    }
    %363 = tessera.schedule.xla(%364 = %360) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %365 = jax.slice %364 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %365 : tensor<2x3x3x4xcomplex<f32>>
    }
    %366 = tessera.schedule.xla(%367 = %338, %368 = %363) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %369 = jax.dot_general %367, %368 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %370 = jax.transpose %369 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %370 : tensor<2x3x3x4xcomplex<f32>>
    }
    %371 = tessera.schedule.xla(%372 = %360) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %373 = jax.slice %372 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %373 : tensor<2x3x3x4xcomplex<f32>>
    }
    %374 = tessera.schedule.xla(%375 = %352, %376 = %371) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %377 = jax.dot_general %375, %376 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %378 = jax.transpose %377 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %378 : tensor<2x3x3x4xcomplex<f32>>
    }
    %379 = tessera.schedule.xla(%380 = %94, %381 = %116, %382 = %366) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %383 = jax.scatter %380, %381, %382 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %383 : tensor<2x8x5x4xcomplex<f32>>
    }
    %384 = tessera.schedule.xla(%385 = %379, %386 = %124, %387 = %374) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %388 = jax.scatter %385, %386, %387 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %388 : tensor<2x8x5x4xcomplex<f32>>
    }
    %389 = tessera.schedule.xla(%390 = %384) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %391 = jax.transpose %390 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %391 : tensor<2x4x8x5xcomplex<f32>>
    }
    %392 = tessera.schedule.xla(%393 = %389, %394 = %137) {pattern = "pad", runs = "xla", reason = "no Tessera op in it: jax.pad", flops = 0 : i64, bytes = 5128 : i64, seconds = 5.128000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %395 = jax.pad %393, %394 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %395 : tensor<2x4x8x5xcomplex<f32>>
    }
    %396 = tessera.schedule.xla(%397 = %392) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32> {
      %398 = jax.fft %397 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %398 : tensor<2x4x8x8xf32>
    }
    %399 = tessera.schedule.fuse(%400 = %396, %401 = %315, %402 = %50) {pattern = "matmul+gelu", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 4>, flops = 8704 : i64, bytes = 10304 : i64, seconds = 1.030400e-06 : f64} : (tensor<2x4x8x8xf32>, tensor<2x8x8x4xf32>, tensor<4x4xf32>) -> tensor<2x8x8x4xf32> {
      %403 = jax.transpose %400 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
      %404 = tessera.graph.matmul %401, %402, %403 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %405 = tessera.graph.gelu %404 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      tessera.schedule.yield %405 : tensor<2x8x8x4xf32>
    }
    %406 = tessera.schedule.xla(%407 = %399, %params.project_1 = %params.project, %field_2 = %field) {pattern = "dot_general+integer_pow+sub+integer_pow", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.integer_pow, jax.sub", flops = 1408 : i64, bytes = 3088 : i64, seconds = 3.088000e-07 : f64} : (tensor<2x8x8x4xf32>, tensor<4x1xf32>, tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32> {
      %408 = jax.dot_general %407, %params.project_1 {params = "dimension_numbers=(((3,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<2x8x8x4xf32>, tensor<4x1xf32>) -> tensor<2x8x8x1xf32>
      %409 = jax.integer_pow %field_2 {params = "y=2"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
      %410 = jax.sub %408, %409 : (tensor<2x8x8x1xf32>, tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
      %411 = jax.integer_pow %410 {params = "y=2"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
      tessera.schedule.yield %411 : tensor<2x8x8x1xf32>
    }
    %412 = tessera.schedule.xla(%413 = %406) {pattern = "reduce_sum", runs = "xla", reason = "no Tessera op in it: jax.reduce_sum", flops = 128 : i64, bytes = 516 : i64, seconds = 5.160000e-08 : f64} : (tensor<2x8x8x1xf32>) -> tensor<f32> {
      %414 = jax.reduce_sum %413 {params = "axes=(0, 1, 2, 3)"} : (tensor<2x8x8x1xf32>) -> tensor<f32>
      tessera.schedule.yield %414 : tensor<f32>
    }
    %415 = tessera.schedule.xla(%field_3 = %field, %416 = %412) {pattern = "integer_pow+reduce_sum+div+sqrt", runs = "xla", reason = "no Tessera op in it: jax.div, jax.integer_pow, jax.reduce_sum, jax.sqrt", flops = 258 : i64, bytes = 520 : i64, seconds = 5.200000e-08 : f64} : (tensor<2x8x8x1xf32>, tensor<f32>) -> tensor<f32> {
      %417 = jax.integer_pow %field_3 {params = "y=4"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
      %418 = jax.reduce_sum %417 {params = "axes=(0, 1, 2, 3)"} : (tensor<2x8x8x1xf32>) -> tensor<f32>
      %419 = jax.div %416, %418 : (tensor<f32>, tensor<f32>) -> tensor<f32>
      %420 = jax.sqrt %419 : (tensor<f32>) -> tensor<f32>
      tessera.schedule.yield %420 : tensor<f32>
    }
    tessera.graph.return %415 : tensor<f32>
  }
}
