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
    %137 = tessera.schedule.xla(%138 = %134) {pattern = "pad", runs = "xla", reason = "no Tessera op in it: jax.pad", flops = 0 : i64, bytes = 5128 : i64, seconds = 5.128000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %139 = tessera.graph.constant {value = "0j"} : () -> tensor<complex<f32>>
      %140 = jax.pad %138, %139 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %140 : tensor<2x4x8x5xcomplex<f32>>
    }
    %141 = tessera.schedule.xla(%142 = %137) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32> {
      %143 = jax.fft %142 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %143 : tensor<2x4x8x8xf32>
    }
    %144, %145 = tessera.schedule.fuse(%146 = %141, %147 = %34, %148 = %47) {pattern = "matmul+gelu", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 4>, flops = 8704 : i64, bytes = 14400 : i64, seconds = 1.440000e-06 : f64} : (tensor<2x4x8x8xf32>, tensor<2x8x8x4xf32>, tensor<4x4xf32>) -> (tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>) {
      %149 = jax.transpose %146 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
      %150 = tessera.graph.matmul %147, %148, %149 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %151 = tessera.graph.gelu %150 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %152 = jax.transpose %151 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %151, %152 : tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>
    }
    %153, %154 = tessera.schedule.xla(%155 = %40) {pattern = "unstack", runs = "xla", reason = "no Tessera op in it: jax.unstack", flops = 576 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>) {
      %156, %157 = jax.unstack %155 {params = "axis=0"} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>)
      tessera.schedule.yield %156, %157 : tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>
    }
    %158 = tessera.schedule.xla(%159 = %153) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %160 = jax.slice %159 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %160 : tensor<1x3x3x4x4xf32>
    }
    %161 = tessera.schedule.xla(%162 = %158) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %163 = jax.squeeze %162 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %163 : tensor<3x3x4x4xf32>
    }
    %164 = tessera.schedule.xla(%165 = %153) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %166 = jax.slice %165 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %166 : tensor<1x3x3x4x4xf32>
    }
    %167 = tessera.schedule.xla(%168 = %164, %169 = %161) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %170 = jax.squeeze %168 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %171 = jax.complex %169, %170 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %171 : tensor<3x3x4x4xcomplex<f32>>
    }
    %172 = tessera.schedule.xla(%173 = %154) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %174 = jax.slice %173 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %174 : tensor<1x3x3x4x4xf32>
    }
    %175 = tessera.schedule.xla(%176 = %172) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %177 = jax.squeeze %176 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %177 : tensor<3x3x4x4xf32>
    }
    %178 = tessera.schedule.xla(%179 = %154) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %180 = jax.slice %179 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %180 : tensor<1x3x3x4x4xf32>
    }
    %181 = tessera.schedule.xla(%182 = %178, %183 = %175) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %184 = jax.squeeze %182 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %185 = jax.complex %183, %184 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %185 : tensor<3x3x4x4xcomplex<f32>>
    }
    %186 = tessera.schedule.xla(%187 = %145) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>> {
      %188 = jax.fft %187 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %188 : tensor<2x4x8x5xcomplex<f32>>
    }
    %189 = tessera.schedule.xla(%190 = %186) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %191 = jax.transpose %190 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %191 : tensor<2x8x5x4xcomplex<f32>>
    }
    %192 = tessera.schedule.xla(%193 = %189) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %194 = jax.slice %193 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %194 : tensor<2x3x3x4xcomplex<f32>>
    }
    %195 = tessera.schedule.xla(%196 = %167, %197 = %192) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %198 = jax.dot_general %196, %197 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %199 = jax.transpose %198 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %199 : tensor<2x3x3x4xcomplex<f32>>
    }
    %200 = tessera.schedule.xla(%201 = %189) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %202 = jax.slice %201 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %202 : tensor<2x3x3x4xcomplex<f32>>
    }
    %203 = tessera.schedule.xla(%204 = %181, %205 = %200) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %206 = jax.dot_general %204, %205 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %207 = jax.transpose %206 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %207 : tensor<2x3x3x4xcomplex<f32>>
    }
    %208 = tessera.schedule.xla(%209 = %94, %210 = %116, %211 = %195) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %212 = jax.scatter %209, %210, %211 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %212 : tensor<2x8x5x4xcomplex<f32>>
    }
    %213 = tessera.schedule.xla(%214 = %208, %215 = %124, %216 = %203) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %217 = jax.scatter %214, %215, %216 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %217 : tensor<2x8x5x4xcomplex<f32>>
    }
    %218 = tessera.schedule.xla(%219 = %213) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %220 = jax.transpose %219 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %220 : tensor<2x4x8x5xcomplex<f32>>
    }
    %221 = tessera.schedule.xla(%222 = %218) {pattern = "pad", runs = "xla", reason = "no Tessera op in it: jax.pad", flops = 0 : i64, bytes = 5128 : i64, seconds = 5.128000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %223 = tessera.graph.constant {value = "0j"} : () -> tensor<complex<f32>>
      %224 = jax.pad %222, %223 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %224 : tensor<2x4x8x5xcomplex<f32>>
    }
    %225 = tessera.schedule.xla(%226 = %221) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32> {
      %227 = jax.fft %226 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %227 : tensor<2x4x8x8xf32>
    }
    %228, %229 = tessera.schedule.fuse(%230 = %225, %231 = %144, %232 = %48) {pattern = "matmul+gelu", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 4>, flops = 8704 : i64, bytes = 14400 : i64, seconds = 1.440000e-06 : f64} : (tensor<2x4x8x8xf32>, tensor<2x8x8x4xf32>, tensor<4x4xf32>) -> (tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>) {
      %233 = jax.transpose %230 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
      %234 = tessera.graph.matmul %231, %232, %233 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %235 = tessera.graph.gelu %234 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %236 = jax.transpose %235 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %235, %236 : tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>
    }
    %237, %238 = tessera.schedule.xla(%239 = %41) {pattern = "unstack", runs = "xla", reason = "no Tessera op in it: jax.unstack", flops = 576 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>) {
      %240, %241 = jax.unstack %239 {params = "axis=0"} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>)
      tessera.schedule.yield %240, %241 : tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>
    }
    %242 = tessera.schedule.xla(%243 = %237) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %244 = jax.slice %243 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %244 : tensor<1x3x3x4x4xf32>
    }
    %245 = tessera.schedule.xla(%246 = %242) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %247 = jax.squeeze %246 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %247 : tensor<3x3x4x4xf32>
    }
    %248 = tessera.schedule.xla(%249 = %237) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %250 = jax.slice %249 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %250 : tensor<1x3x3x4x4xf32>
    }
    %251 = tessera.schedule.xla(%252 = %248, %253 = %245) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %254 = jax.squeeze %252 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %255 = jax.complex %253, %254 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %255 : tensor<3x3x4x4xcomplex<f32>>
    }
    %256 = tessera.schedule.xla(%257 = %238) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %258 = jax.slice %257 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %258 : tensor<1x3x3x4x4xf32>
    }
    %259 = tessera.schedule.xla(%260 = %256) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %261 = jax.squeeze %260 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %261 : tensor<3x3x4x4xf32>
    }
    %262 = tessera.schedule.xla(%263 = %238) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %264 = jax.slice %263 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %264 : tensor<1x3x3x4x4xf32>
    }
    %265 = tessera.schedule.xla(%266 = %262, %267 = %259) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %268 = jax.squeeze %266 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %269 = jax.complex %267, %268 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %269 : tensor<3x3x4x4xcomplex<f32>>
    }
    %270 = tessera.schedule.xla(%271 = %229) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>> {
      %272 = jax.fft %271 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %272 : tensor<2x4x8x5xcomplex<f32>>
    }
    %273 = tessera.schedule.xla(%274 = %270) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %275 = jax.transpose %274 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %275 : tensor<2x8x5x4xcomplex<f32>>
    }
    %276 = tessera.schedule.xla(%277 = %273) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %278 = jax.slice %277 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %278 : tensor<2x3x3x4xcomplex<f32>>
    }
    %279 = tessera.schedule.xla(%280 = %251, %281 = %276) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %282 = jax.dot_general %280, %281 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %283 = jax.transpose %282 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %283 : tensor<2x3x3x4xcomplex<f32>>
    }
    %284 = tessera.schedule.xla(%285 = %273) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %286 = jax.slice %285 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %286 : tensor<2x3x3x4xcomplex<f32>>
    }
    %287 = tessera.schedule.xla(%288 = %265, %289 = %284) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %290 = jax.dot_general %288, %289 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %291 = jax.transpose %290 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %291 : tensor<2x3x3x4xcomplex<f32>>
    }
    %292 = tessera.schedule.xla(%293 = %94, %294 = %116, %295 = %279) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %296 = jax.scatter %293, %294, %295 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %296 : tensor<2x8x5x4xcomplex<f32>>
    }
    %297 = tessera.schedule.xla(%298 = %292, %299 = %124, %300 = %287) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %301 = jax.scatter %298, %299, %300 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %301 : tensor<2x8x5x4xcomplex<f32>>
    }
    %302 = tessera.schedule.xla(%303 = %297) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %304 = jax.transpose %303 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %304 : tensor<2x4x8x5xcomplex<f32>>
    }
    %305 = tessera.schedule.xla(%306 = %302) {pattern = "pad", runs = "xla", reason = "no Tessera op in it: jax.pad", flops = 0 : i64, bytes = 5128 : i64, seconds = 5.128000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %307 = tessera.graph.constant {value = "0j"} : () -> tensor<complex<f32>>
      %308 = jax.pad %306, %307 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %308 : tensor<2x4x8x5xcomplex<f32>>
    }
    %309 = tessera.schedule.xla(%310 = %305) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32> {
      %311 = jax.fft %310 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %311 : tensor<2x4x8x8xf32>
    }
    %312, %313 = tessera.schedule.fuse(%314 = %309, %315 = %228, %316 = %49) {pattern = "matmul+gelu", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 4>, flops = 8704 : i64, bytes = 14400 : i64, seconds = 1.440000e-06 : f64} : (tensor<2x4x8x8xf32>, tensor<2x8x8x4xf32>, tensor<4x4xf32>) -> (tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>) {
      %317 = jax.transpose %314 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
      %318 = tessera.graph.matmul %315, %316, %317 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %319 = tessera.graph.gelu %318 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %320 = jax.transpose %319 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %319, %320 : tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>
    }
    %321, %322 = tessera.schedule.xla(%323 = %42) {pattern = "unstack", runs = "xla", reason = "no Tessera op in it: jax.unstack", flops = 576 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>) {
      %324, %325 = jax.unstack %323 {params = "axis=0"} : (tensor<2x2x3x3x4x4xf32>) -> (tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>)
      tessera.schedule.yield %324, %325 : tensor<2x3x3x4x4xf32>, tensor<2x3x3x4x4xf32>
    }
    %326 = tessera.schedule.xla(%327 = %321) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %328 = jax.slice %327 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %328 : tensor<1x3x3x4x4xf32>
    }
    %329 = tessera.schedule.xla(%330 = %326) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %331 = jax.squeeze %330 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %331 : tensor<3x3x4x4xf32>
    }
    %332 = tessera.schedule.xla(%333 = %321) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %334 = jax.slice %333 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %334 : tensor<1x3x3x4x4xf32>
    }
    %335 = tessera.schedule.xla(%336 = %332, %337 = %329) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %338 = jax.squeeze %336 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %339 = jax.complex %337, %338 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %339 : tensor<3x3x4x4xcomplex<f32>>
    }
    %340 = tessera.schedule.xla(%341 = %322) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %342 = jax.slice %341 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %342 : tensor<1x3x3x4x4xf32>
    }
    %343 = tessera.schedule.xla(%344 = %340) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %345 = jax.squeeze %344 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %345 : tensor<3x3x4x4xf32>
    }
    %346 = tessera.schedule.xla(%347 = %322) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %348 = jax.slice %347 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %348 : tensor<1x3x3x4x4xf32>
    }
    %349 = tessera.schedule.xla(%350 = %346, %351 = %343) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %352 = jax.squeeze %350 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %353 = jax.complex %351, %352 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %353 : tensor<3x3x4x4xcomplex<f32>>
    }
    %354 = tessera.schedule.xla(%355 = %313) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>> {
      %356 = jax.fft %355 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %356 : tensor<2x4x8x5xcomplex<f32>>
    }
    %357 = tessera.schedule.xla(%358 = %354) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %359 = jax.transpose %358 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %359 : tensor<2x8x5x4xcomplex<f32>>
    }
    %360 = tessera.schedule.xla(%361 = %357) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %362 = jax.slice %361 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %362 : tensor<2x3x3x4xcomplex<f32>>
    }
    %363 = tessera.schedule.xla(%364 = %335, %365 = %360) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %366 = jax.dot_general %364, %365 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %367 = jax.transpose %366 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %367 : tensor<2x3x3x4xcomplex<f32>>
    }
    %368 = tessera.schedule.xla(%369 = %357) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %370 = jax.slice %369 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %370 : tensor<2x3x3x4xcomplex<f32>>
    }
    %371 = tessera.schedule.xla(%372 = %349, %373 = %368) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %374 = jax.dot_general %372, %373 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %375 = jax.transpose %374 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %375 : tensor<2x3x3x4xcomplex<f32>>
    }
    %376 = tessera.schedule.xla(%377 = %94, %378 = %116, %379 = %363) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %380 = jax.scatter %377, %378, %379 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %380 : tensor<2x8x5x4xcomplex<f32>>
    }
    %381 = tessera.schedule.xla(%382 = %376, %383 = %124, %384 = %371) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %385 = jax.scatter %382, %383, %384 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %385 : tensor<2x8x5x4xcomplex<f32>>
    }
    %386 = tessera.schedule.xla(%387 = %381) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %388 = jax.transpose %387 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %388 : tensor<2x4x8x5xcomplex<f32>>
    }
    %389 = tessera.schedule.xla(%390 = %386) {pattern = "pad", runs = "xla", reason = "no Tessera op in it: jax.pad", flops = 0 : i64, bytes = 5128 : i64, seconds = 5.128000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %391 = tessera.graph.constant {value = "0j"} : () -> tensor<complex<f32>>
      %392 = jax.pad %390, %391 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %392 : tensor<2x4x8x5xcomplex<f32>>
    }
    %393 = tessera.schedule.xla(%394 = %389) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32> {
      %395 = jax.fft %394 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %395 : tensor<2x4x8x8xf32>
    }
    %396 = tessera.schedule.fuse(%397 = %393, %398 = %312, %399 = %50) {pattern = "matmul+gelu", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 4>, flops = 8704 : i64, bytes = 10304 : i64, seconds = 1.030400e-06 : f64} : (tensor<2x4x8x8xf32>, tensor<2x8x8x4xf32>, tensor<4x4xf32>) -> tensor<2x8x8x4xf32> {
      %400 = jax.transpose %397 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
      %401 = tessera.graph.matmul %398, %399, %400 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %402 = tessera.graph.gelu %401 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      tessera.schedule.yield %402 : tensor<2x8x8x4xf32>
    }
    %403 = tessera.schedule.xla(%404 = %396, %params.project_1 = %params.project, %field_2 = %field) {pattern = "dot_general+integer_pow+sub+integer_pow", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.integer_pow, jax.sub", flops = 1408 : i64, bytes = 3088 : i64, seconds = 3.088000e-07 : f64} : (tensor<2x8x8x4xf32>, tensor<4x1xf32>, tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32> {
      %405 = jax.dot_general %404, %params.project_1 {params = "dimension_numbers=(((3,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<2x8x8x4xf32>, tensor<4x1xf32>) -> tensor<2x8x8x1xf32>
      %406 = jax.integer_pow %field_2 {params = "y=2"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
      %407 = jax.sub %405, %406 : (tensor<2x8x8x1xf32>, tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
      %408 = jax.integer_pow %407 {params = "y=2"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
      tessera.schedule.yield %408 : tensor<2x8x8x1xf32>
    }
    %409 = tessera.schedule.xla(%410 = %403) {pattern = "reduce_sum", runs = "xla", reason = "no Tessera op in it: jax.reduce_sum", flops = 128 : i64, bytes = 516 : i64, seconds = 5.160000e-08 : f64} : (tensor<2x8x8x1xf32>) -> tensor<f32> {
      %411 = jax.reduce_sum %410 {params = "axes=(0, 1, 2, 3)"} : (tensor<2x8x8x1xf32>) -> tensor<f32>
      tessera.schedule.yield %411 : tensor<f32>
    }
    %412 = tessera.schedule.xla(%field_3 = %field, %413 = %409) {pattern = "integer_pow+reduce_sum+div+sqrt", runs = "xla", reason = "no Tessera op in it: jax.div, jax.integer_pow, jax.reduce_sum, jax.sqrt", flops = 258 : i64, bytes = 520 : i64, seconds = 5.200000e-08 : f64} : (tensor<2x8x8x1xf32>, tensor<f32>) -> tensor<f32> {
      %414 = jax.integer_pow %field_3 {params = "y=4"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
      %415 = jax.reduce_sum %414 {params = "axes=(0, 1, 2, 3)"} : (tensor<2x8x8x1xf32>) -> tensor<f32>
      %416 = jax.div %413, %415 : (tensor<f32>, tensor<f32>) -> tensor<f32>
      %417 = jax.sqrt %416 : (tensor<f32>) -> tensor<f32>
      tessera.schedule.yield %417 : tensor<f32>
    }
    tessera.graph.return %412 : tensor<f32>
  }
}
