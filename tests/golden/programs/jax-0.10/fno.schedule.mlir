module @loss attributes {level = "schedule"} {
  tessera.graph.func @loss(%params.lift: tensor<3x4xf32>, %params.project: tensor<4x1xf32>, %params.skip: tensor<4x4x4xf32>, %params.spectral: tensor<4x2x2x3x3x4x4xf32>, %field: tensor<2x8x8x1xf32>) -> tensor<f32> {
    %0 = tessera.schedule.xla() {pattern = "div+sub+mul+add", runs = "xla", reason = "no Tessera op in it: jax.add, jax.div, jax.iota, jax.mul", flops = 28 : i64, bytes = 60 : i64, seconds = 6.000000e-09 : f64} : () -> tensor<7xf32> {
      %1 = tessera.graph.constant {value = 0.000000e+00 : f32} : () -> tensor<f32>
      %2 = tessera.graph.constant {value = 1.000000e+00 : f32} : () -> tensor<f32>
      %3 = tessera.graph.constant {value = 7.000000e+00 : f32} : () -> tensor<f32>
      %4 = jax.iota {params = "dtype=float32 shape=(7,) dimension=0"} : () -> tensor<7xf32>
      %5 = jax.div %4, %3 : (tensor<7xf32>, tensor<f32>) -> tensor<7xf32>
      %6 = jax.sub %2, %5 : (tensor<f32>, tensor<7xf32>) -> tensor<7xf32>
      %7 = jax.reshape %1 {params = "new_sizes=(1,)"} : (tensor<f32>) -> tensor<1xf32>
      %8 = jax.mul %7, %6 : (tensor<1xf32>, tensor<7xf32>) -> tensor<7xf32>
      %9 = jax.add %8, %5 : (tensor<7xf32>, tensor<7xf32>) -> tensor<7xf32>
      tessera.schedule.yield %9 : tensor<7xf32>
    }
    %10 = tessera.schedule.xla(%11 = %0) {pattern = "concatenate", runs = "xla", reason = "no Tessera op in it: jax.broadcast_in_dim, jax.concatenate", flops = 0 : i64, bytes = 64 : i64, seconds = 6.400000e-09 : f64} : (tensor<7xf32>) -> tensor<8xf32> {
      %12 = tessera.graph.constant {value = 1.000000e+00 : f32} : () -> tensor<f32>
      %13 = jax.broadcast_in_dim %12 {params = "shape=(1,)"} : (tensor<f32>) -> tensor<1xf32>
      %14 = jax.concatenate %11, %13 {params = "dimension=0"} : (tensor<7xf32>, tensor<1xf32>) -> tensor<8xf32>
      tessera.schedule.yield %14 : tensor<8xf32>
    }
    %15 = tessera.schedule.xla(%16 = %10) {pattern = "broadcast_in_dim", runs = "xla", reason = "no Tessera op in it: jax.broadcast_in_dim", flops = 0 : i64, bytes = 288 : i64, seconds = 2.880000e-08 : f64} : (tensor<8xf32>) -> tensor<8x8xf32> {
      %17 = jax.broadcast_in_dim %16 {params = "shape=(8, 8) broadcast_dimensions=(0,)"} : (tensor<8xf32>) -> tensor<8x8xf32>
      tessera.schedule.yield %17 : tensor<8x8xf32>
    }
    %18 = tessera.schedule.xla(%19 = %10) {pattern = "broadcast_in_dim", runs = "xla", reason = "no Tessera op in it: jax.broadcast_in_dim", flops = 0 : i64, bytes = 288 : i64, seconds = 2.880000e-08 : f64} : (tensor<8xf32>) -> tensor<8x8xf32> {
      %20 = jax.broadcast_in_dim %19 {params = "shape=(8, 8) broadcast_dimensions=(1,)"} : (tensor<8xf32>) -> tensor<8x8xf32>
      tessera.schedule.yield %20 : tensor<8x8xf32>
    }
    %21 = tessera.schedule.xla(%22 = %15, %23 = %18) {pattern = "stack", runs = "xla", reason = "no Tessera op in it: jax.stack", flops = 0 : i64, bytes = 1024 : i64, seconds = 1.024000e-07 : f64} : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8x2xf32> {
      %24 = jax.stack %22, %23 {params = "axis=2"} : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8x2xf32>
      tessera.schedule.yield %24 : tensor<8x8x2xf32>
    }
    %25 = tessera.schedule.xla(%26 = %21) {pattern = "broadcast_in_dim", runs = "xla", reason = "no Tessera op in it: jax.broadcast_in_dim", flops = 0 : i64, bytes = 1536 : i64, seconds = 1.536000e-07 : f64} : (tensor<8x8x2xf32>) -> tensor<2x8x8x2xf32> {
      %27 = jax.broadcast_in_dim %26 {params = "shape=(2, 8, 8, 2) broadcast_dimensions=(1, 2, 3)"} : (tensor<8x8x2xf32>) -> tensor<2x8x8x2xf32>
      tessera.schedule.yield %27 : tensor<2x8x8x2xf32>
    }
    %28 = tessera.schedule.xla(%field_1 = %field, %29 = %25) {pattern = "concatenate", runs = "xla", reason = "no Tessera op in it: jax.concatenate", flops = 0 : i64, bytes = 3072 : i64, seconds = 3.072000e-07 : f64} : (tensor<2x8x8x1xf32>, tensor<2x8x8x2xf32>) -> tensor<2x8x8x3xf32> {
      %30 = jax.concatenate %field_1, %29 {params = "dimension=3"} : (tensor<2x8x8x1xf32>, tensor<2x8x8x2xf32>) -> tensor<2x8x8x3xf32>
      tessera.schedule.yield %30 : tensor<2x8x8x3xf32>
    }
    %31, %32 = tessera.schedule.xla(%33 = %28, %params.lift_1 = %params.lift) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 3072 : i64, bytes = 5680 : i64, seconds = 5.680000e-07 : f64} : (tensor<2x8x8x3xf32>, tensor<3x4xf32>) -> (tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>) {
      %34 = jax.dot_general %33, %params.lift_1 {params = "dimension_numbers=(((3,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<2x8x8x3xf32>, tensor<3x4xf32>) -> tensor<2x8x8x4xf32>
      %35 = jax.transpose %34 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %34, %35 : tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>
    }
    %36 = tessera.schedule.xla(%params.spectral_1 = %params.spectral) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 11520 : i64, seconds = 1.152000e-06 : f64} : (tensor<4x2x2x3x3x4x4xf32>) -> tensor<1x2x2x3x3x4x4xf32> {
      %37 = jax.slice %params.spectral_1 {params = "start_indices=(0, 0, 0, 0, 0, 0, 0) limit_indices=(1, 2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1, 1)"} : (tensor<4x2x2x3x3x4x4xf32>) -> tensor<1x2x2x3x3x4x4xf32>
      tessera.schedule.yield %37 : tensor<1x2x2x3x3x4x4xf32>
    }
    %38 = tessera.schedule.xla(%39 = %36) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<1x2x2x3x3x4x4xf32>) -> tensor<2x2x3x3x4x4xf32> {
      %40 = jax.squeeze %39 {params = "dimensions=(0,)"} : (tensor<1x2x2x3x3x4x4xf32>) -> tensor<2x2x3x3x4x4xf32>
      tessera.schedule.yield %40 : tensor<2x2x3x3x4x4xf32>
    }
    %41 = tessera.schedule.xla(%params.skip_1 = %params.skip) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 320 : i64, seconds = 3.200000e-08 : f64} : (tensor<4x4x4xf32>) -> tensor<1x4x4xf32> {
      %42 = jax.slice %params.skip_1 {params = "start_indices=(0, 0, 0) limit_indices=(1, 4, 4) strides=(1, 1, 1)"} : (tensor<4x4x4xf32>) -> tensor<1x4x4xf32>
      tessera.schedule.yield %42 : tensor<1x4x4xf32>
    }
    %43 = tessera.schedule.xla(%44 = %41) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 128 : i64, seconds = 1.280000e-08 : f64} : (tensor<1x4x4xf32>) -> tensor<4x4xf32> {
      %45 = jax.squeeze %44 {params = "dimensions=(0,)"} : (tensor<1x4x4xf32>) -> tensor<4x4xf32>
      tessera.schedule.yield %45 : tensor<4x4xf32>
    }
    %46 = tessera.schedule.xla(%47 = %38) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3456 : i64, seconds = 3.456000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32> {
      %48 = jax.slice %47 {params = "start_indices=(0, 0, 0, 0, 0, 0) limit_indices=(1, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
      tessera.schedule.yield %48 : tensor<1x2x3x3x4x4xf32>
    }
    %49 = tessera.schedule.xla(%50 = %46) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32> {
      %51 = jax.squeeze %50 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
      tessera.schedule.yield %51 : tensor<2x3x3x4x4xf32>
    }
    %52 = tessera.schedule.xla(%53 = %49) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %54 = jax.slice %53 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %54 : tensor<1x3x3x4x4xf32>
    }
    %55 = tessera.schedule.xla(%56 = %52) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %57 = jax.squeeze %56 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %57 : tensor<3x3x4x4xf32>
    }
    %58 = tessera.schedule.xla(%59 = %49) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %60 = jax.slice %59 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %60 : tensor<1x3x3x4x4xf32>
    }
    %61 = tessera.schedule.xla(%62 = %58, %63 = %55) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %64 = jax.squeeze %62 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %65 = jax.complex %63, %64 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %65 : tensor<3x3x4x4xcomplex<f32>>
    }
    %66 = tessera.schedule.xla(%67 = %38) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3456 : i64, seconds = 3.456000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32> {
      %68 = jax.slice %67 {params = "start_indices=(1, 0, 0, 0, 0, 0) limit_indices=(2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
      tessera.schedule.yield %68 : tensor<1x2x3x3x4x4xf32>
    }
    %69 = tessera.schedule.xla(%70 = %66) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32> {
      %71 = jax.squeeze %70 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
      tessera.schedule.yield %71 : tensor<2x3x3x4x4xf32>
    }
    %72 = tessera.schedule.xla(%73 = %69) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %74 = jax.slice %73 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %74 : tensor<1x3x3x4x4xf32>
    }
    %75 = tessera.schedule.xla(%76 = %72) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %77 = jax.squeeze %76 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %77 : tensor<3x3x4x4xf32>
    }
    %78 = tessera.schedule.xla(%79 = %69) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %80 = jax.slice %79 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %80 : tensor<1x3x3x4x4xf32>
    }
    %81 = tessera.schedule.xla(%82 = %78, %83 = %75) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %84 = jax.squeeze %82 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %85 = jax.complex %83, %84 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %85 : tensor<3x3x4x4xcomplex<f32>>
    }
    %86 = tessera.schedule.xla(%87 = %32) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>> {
      %88 = jax.fft %87 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %88 : tensor<2x4x8x5xcomplex<f32>>
    }
    %89 = tessera.schedule.xla(%90 = %86) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %91 = jax.transpose %90 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %91 : tensor<2x8x5x4xcomplex<f32>>
    }
    %92 = tessera.schedule.xla() {pattern = "broadcast_in_dim", runs = "xla", reason = "no Tessera op in it: jax.broadcast_in_dim", flops = 0 : i64, bytes = 2560 : i64, seconds = 2.560000e-07 : f64} : () -> tensor<2x8x5x4xcomplex<f32>> {
      %93 = tessera.graph.constant {value = "0j"} : () -> tensor<complex<f32>>
      %94 = jax.broadcast_in_dim %93 {params = "shape=(2, 8, 5, 4)"} : (tensor<complex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %94 : tensor<2x8x5x4xcomplex<f32>>
    }
    %95 = tessera.schedule.xla(%96 = %89) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %97 = jax.slice %96 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %97 : tensor<2x3x3x4xcomplex<f32>>
    }
    %98 = tessera.schedule.xla(%99 = %61, %100 = %95) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %101 = jax.dot_general %99, %100 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %102 = jax.transpose %101 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %102 : tensor<2x3x3x4xcomplex<f32>>
    }
    %103 = tessera.schedule.xla(%104 = %89) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %105 = jax.slice %104 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %105 : tensor<2x3x3x4xcomplex<f32>>
    }
    %106 = tessera.schedule.xla(%107 = %81, %108 = %103) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %109 = jax.dot_general %107, %108 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %110 = jax.transpose %109 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %110 : tensor<2x3x3x4xcomplex<f32>>
    }
    %111 = tessera.schedule.xla() {pattern = "broadcast_in_dim", runs = "xla", reason = "no Tessera op in it: jax.broadcast_in_dim", flops = 0 : i64, bytes = 4 : i64, seconds = 4.000000e-10 : f64} : () -> tensor<1xi32> {
      %112 = tessera.graph.constant {value = 0 : i32} : () -> tensor<i32>
      %113 = jax.broadcast_in_dim %112 {params = "shape=(1,)"} : (tensor<i32>) -> tensor<1xi32>
      tessera.schedule.yield %113 : tensor<1xi32>
    }
    %114 = tessera.schedule.xla(%115 = %111) {pattern = "concatenate", runs = "xla", reason = "no Tessera op in it: jax.concatenate", flops = 0 : i64, bytes = 16 : i64, seconds = 1.600000e-09 : f64} : (tensor<1xi32>) -> tensor<2xi32> {
      %116 = jax.concatenate %115, %115 {params = "dimension=0"} : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>
      tessera.schedule.yield %116 : tensor<2xi32>
    }
    %117 = tessera.schedule.xla(%118 = %92, %119 = %114, %120 = %98) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %121 = jax.scatter %118, %119, %120 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %121 : tensor<2x8x5x4xcomplex<f32>>
    }
    %122 = tessera.schedule.xla(%123 = %111) {pattern = "concatenate", runs = "xla", reason = "no Tessera op in it: jax.broadcast_in_dim, jax.concatenate", flops = 0 : i64, bytes = 12 : i64, seconds = 1.200000e-09 : f64} : (tensor<1xi32>) -> tensor<2xi32> {
      %124 = tessera.graph.constant {value = 5 : i32} : () -> tensor<i32>
      %125 = jax.broadcast_in_dim %124 {params = "shape=(1,)"} : (tensor<i32>) -> tensor<1xi32>
      %126 = jax.concatenate %125, %123 {params = "dimension=0"} : (tensor<1xi32>, tensor<1xi32>) -> tensor<2xi32>
      tessera.schedule.yield %126 : tensor<2xi32>
    }
    %127 = tessera.schedule.xla(%128 = %117, %129 = %122, %130 = %106) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %131 = jax.scatter %128, %129, %130 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %131 : tensor<2x8x5x4xcomplex<f32>>
    }
    %132 = tessera.schedule.xla(%133 = %127) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %134 = jax.transpose %133 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %134 : tensor<2x4x8x5xcomplex<f32>>
    }
    %135 = tessera.schedule.xla(%136 = %132) {pattern = "pad", runs = "xla", reason = "no Tessera op in it: jax.pad", flops = 0 : i64, bytes = 5128 : i64, seconds = 5.128000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %137 = tessera.graph.constant {value = "0j"} : () -> tensor<complex<f32>>
      %138 = jax.pad %136, %137 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %138 : tensor<2x4x8x5xcomplex<f32>>
    }
    %139 = tessera.schedule.xla(%140 = %135) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32> {
      %141 = jax.fft %140 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %141 : tensor<2x4x8x8xf32>
    }
    %142, %143 = tessera.schedule.fuse(%144 = %139, %145 = %31, %146 = %43) {pattern = "matmul+gelu", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 4>, flops = 8704 : i64, bytes = 14400 : i64, seconds = 1.440000e-06 : f64} : (tensor<2x4x8x8xf32>, tensor<2x8x8x4xf32>, tensor<4x4xf32>) -> (tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>) {
      %147 = jax.transpose %144 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
      %148 = tessera.graph.matmul %145, %146, %147 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %149 = tessera.graph.gelu %148 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %150 = jax.transpose %149 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %149, %150 : tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>
    }
    %151 = tessera.schedule.xla(%params.spectral_2 = %params.spectral) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 11520 : i64, seconds = 1.152000e-06 : f64} : (tensor<4x2x2x3x3x4x4xf32>) -> tensor<1x2x2x3x3x4x4xf32> {
      %152 = jax.slice %params.spectral_2 {params = "start_indices=(1, 0, 0, 0, 0, 0, 0) limit_indices=(2, 2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1, 1)"} : (tensor<4x2x2x3x3x4x4xf32>) -> tensor<1x2x2x3x3x4x4xf32>
      tessera.schedule.yield %152 : tensor<1x2x2x3x3x4x4xf32>
    }
    %153 = tessera.schedule.xla(%154 = %151) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<1x2x2x3x3x4x4xf32>) -> tensor<2x2x3x3x4x4xf32> {
      %155 = jax.squeeze %154 {params = "dimensions=(0,)"} : (tensor<1x2x2x3x3x4x4xf32>) -> tensor<2x2x3x3x4x4xf32>
      tessera.schedule.yield %155 : tensor<2x2x3x3x4x4xf32>
    }
    %156 = tessera.schedule.xla(%params.skip_2 = %params.skip) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 320 : i64, seconds = 3.200000e-08 : f64} : (tensor<4x4x4xf32>) -> tensor<1x4x4xf32> {
      %157 = jax.slice %params.skip_2 {params = "start_indices=(1, 0, 0) limit_indices=(2, 4, 4) strides=(1, 1, 1)"} : (tensor<4x4x4xf32>) -> tensor<1x4x4xf32>
      tessera.schedule.yield %157 : tensor<1x4x4xf32>
    }
    %158 = tessera.schedule.xla(%159 = %156) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 128 : i64, seconds = 1.280000e-08 : f64} : (tensor<1x4x4xf32>) -> tensor<4x4xf32> {
      %160 = jax.squeeze %159 {params = "dimensions=(0,)"} : (tensor<1x4x4xf32>) -> tensor<4x4xf32>
      tessera.schedule.yield %160 : tensor<4x4xf32>
    }
    %161 = tessera.schedule.xla(%162 = %153) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3456 : i64, seconds = 3.456000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32> {
      %163 = jax.slice %162 {params = "start_indices=(0, 0, 0, 0, 0, 0) limit_indices=(1, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
      tessera.schedule.yield %163 : tensor<1x2x3x3x4x4xf32>
    }
    %164 = tessera.schedule.xla(%165 = %161) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32> {
      %166 = jax.squeeze %165 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
      tessera.schedule.yield %166 : tensor<2x3x3x4x4xf32>
    }
    %167 = tessera.schedule.xla(%168 = %164) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %169 = jax.slice %168 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %169 : tensor<1x3x3x4x4xf32>
    }
    %170 = tessera.schedule.xla(%171 = %167) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %172 = jax.squeeze %171 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %172 : tensor<3x3x4x4xf32>
    }
    %173 = tessera.schedule.xla(%174 = %164) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %175 = jax.slice %174 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %175 : tensor<1x3x3x4x4xf32>
    }
    %176 = tessera.schedule.xla(%177 = %173, %178 = %170) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %179 = jax.squeeze %177 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %180 = jax.complex %178, %179 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %180 : tensor<3x3x4x4xcomplex<f32>>
    }
    %181 = tessera.schedule.xla(%182 = %153) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3456 : i64, seconds = 3.456000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32> {
      %183 = jax.slice %182 {params = "start_indices=(1, 0, 0, 0, 0, 0) limit_indices=(2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
      tessera.schedule.yield %183 : tensor<1x2x3x3x4x4xf32>
    }
    %184 = tessera.schedule.xla(%185 = %181) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32> {
      %186 = jax.squeeze %185 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
      tessera.schedule.yield %186 : tensor<2x3x3x4x4xf32>
    }
    %187 = tessera.schedule.xla(%188 = %184) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %189 = jax.slice %188 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %189 : tensor<1x3x3x4x4xf32>
    }
    %190 = tessera.schedule.xla(%191 = %187) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %192 = jax.squeeze %191 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %192 : tensor<3x3x4x4xf32>
    }
    %193 = tessera.schedule.xla(%194 = %184) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %195 = jax.slice %194 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %195 : tensor<1x3x3x4x4xf32>
    }
    %196 = tessera.schedule.xla(%197 = %193, %198 = %190) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %199 = jax.squeeze %197 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %200 = jax.complex %198, %199 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %200 : tensor<3x3x4x4xcomplex<f32>>
    }
    %201 = tessera.schedule.xla(%202 = %143) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>> {
      %203 = jax.fft %202 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %203 : tensor<2x4x8x5xcomplex<f32>>
    }
    %204 = tessera.schedule.xla(%205 = %201) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %206 = jax.transpose %205 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %206 : tensor<2x8x5x4xcomplex<f32>>
    }
    %207 = tessera.schedule.xla(%208 = %204) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %209 = jax.slice %208 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %209 : tensor<2x3x3x4xcomplex<f32>>
    }
    %210 = tessera.schedule.xla(%211 = %176, %212 = %207) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %213 = jax.dot_general %211, %212 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %214 = jax.transpose %213 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %214 : tensor<2x3x3x4xcomplex<f32>>
    }
    %215 = tessera.schedule.xla(%216 = %204) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %217 = jax.slice %216 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %217 : tensor<2x3x3x4xcomplex<f32>>
    }
    %218 = tessera.schedule.xla(%219 = %196, %220 = %215) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %221 = jax.dot_general %219, %220 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %222 = jax.transpose %221 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %222 : tensor<2x3x3x4xcomplex<f32>>
    }
    %223 = tessera.schedule.xla(%224 = %92, %225 = %114, %226 = %210) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %227 = jax.scatter %224, %225, %226 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %227 : tensor<2x8x5x4xcomplex<f32>>
    }
    %228 = tessera.schedule.xla(%229 = %223, %230 = %122, %231 = %218) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %232 = jax.scatter %229, %230, %231 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %232 : tensor<2x8x5x4xcomplex<f32>>
    }
    %233 = tessera.schedule.xla(%234 = %228) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %235 = jax.transpose %234 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %235 : tensor<2x4x8x5xcomplex<f32>>
    }
    %236 = tessera.schedule.xla(%237 = %233) {pattern = "pad", runs = "xla", reason = "no Tessera op in it: jax.pad", flops = 0 : i64, bytes = 5128 : i64, seconds = 5.128000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %238 = tessera.graph.constant {value = "0j"} : () -> tensor<complex<f32>>
      %239 = jax.pad %237, %238 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %239 : tensor<2x4x8x5xcomplex<f32>>
    }
    %240 = tessera.schedule.xla(%241 = %236) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32> {
      %242 = jax.fft %241 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %242 : tensor<2x4x8x8xf32>
    }
    %243, %244 = tessera.schedule.fuse(%245 = %240, %246 = %142, %247 = %158) {pattern = "matmul+gelu", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 4>, flops = 8704 : i64, bytes = 14400 : i64, seconds = 1.440000e-06 : f64} : (tensor<2x4x8x8xf32>, tensor<2x8x8x4xf32>, tensor<4x4xf32>) -> (tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>) {
      %248 = jax.transpose %245 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
      %249 = tessera.graph.matmul %246, %247, %248 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %250 = tessera.graph.gelu %249 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %251 = jax.transpose %250 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %250, %251 : tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>
    }
    %252 = tessera.schedule.xla(%params.spectral_3 = %params.spectral) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 11520 : i64, seconds = 1.152000e-06 : f64} : (tensor<4x2x2x3x3x4x4xf32>) -> tensor<1x2x2x3x3x4x4xf32> {
      %253 = jax.slice %params.spectral_3 {params = "start_indices=(2, 0, 0, 0, 0, 0, 0) limit_indices=(3, 2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1, 1)"} : (tensor<4x2x2x3x3x4x4xf32>) -> tensor<1x2x2x3x3x4x4xf32>
      tessera.schedule.yield %253 : tensor<1x2x2x3x3x4x4xf32>
    }
    %254 = tessera.schedule.xla(%255 = %252) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<1x2x2x3x3x4x4xf32>) -> tensor<2x2x3x3x4x4xf32> {
      %256 = jax.squeeze %255 {params = "dimensions=(0,)"} : (tensor<1x2x2x3x3x4x4xf32>) -> tensor<2x2x3x3x4x4xf32>
      tessera.schedule.yield %256 : tensor<2x2x3x3x4x4xf32>
    }
    %257 = tessera.schedule.xla(%params.skip_3 = %params.skip) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 320 : i64, seconds = 3.200000e-08 : f64} : (tensor<4x4x4xf32>) -> tensor<1x4x4xf32> {
      %258 = jax.slice %params.skip_3 {params = "start_indices=(2, 0, 0) limit_indices=(3, 4, 4) strides=(1, 1, 1)"} : (tensor<4x4x4xf32>) -> tensor<1x4x4xf32>
      tessera.schedule.yield %258 : tensor<1x4x4xf32>
    }
    %259 = tessera.schedule.xla(%260 = %257) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 128 : i64, seconds = 1.280000e-08 : f64} : (tensor<1x4x4xf32>) -> tensor<4x4xf32> {
      %261 = jax.squeeze %260 {params = "dimensions=(0,)"} : (tensor<1x4x4xf32>) -> tensor<4x4xf32>
      tessera.schedule.yield %261 : tensor<4x4xf32>
    }
    %262 = tessera.schedule.xla(%263 = %254) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3456 : i64, seconds = 3.456000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32> {
      %264 = jax.slice %263 {params = "start_indices=(0, 0, 0, 0, 0, 0) limit_indices=(1, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
      tessera.schedule.yield %264 : tensor<1x2x3x3x4x4xf32>
    }
    %265 = tessera.schedule.xla(%266 = %262) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32> {
      %267 = jax.squeeze %266 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
      tessera.schedule.yield %267 : tensor<2x3x3x4x4xf32>
    }
    %268 = tessera.schedule.xla(%269 = %265) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %270 = jax.slice %269 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %270 : tensor<1x3x3x4x4xf32>
    }
    %271 = tessera.schedule.xla(%272 = %268) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %273 = jax.squeeze %272 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %273 : tensor<3x3x4x4xf32>
    }
    %274 = tessera.schedule.xla(%275 = %265) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %276 = jax.slice %275 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %276 : tensor<1x3x3x4x4xf32>
    }
    %277 = tessera.schedule.xla(%278 = %274, %279 = %271) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %280 = jax.squeeze %278 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %281 = jax.complex %279, %280 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %281 : tensor<3x3x4x4xcomplex<f32>>
    }
    %282 = tessera.schedule.xla(%283 = %254) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3456 : i64, seconds = 3.456000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32> {
      %284 = jax.slice %283 {params = "start_indices=(1, 0, 0, 0, 0, 0) limit_indices=(2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
      tessera.schedule.yield %284 : tensor<1x2x3x3x4x4xf32>
    }
    %285 = tessera.schedule.xla(%286 = %282) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32> {
      %287 = jax.squeeze %286 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
      tessera.schedule.yield %287 : tensor<2x3x3x4x4xf32>
    }
    %288 = tessera.schedule.xla(%289 = %285) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %290 = jax.slice %289 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %290 : tensor<1x3x3x4x4xf32>
    }
    %291 = tessera.schedule.xla(%292 = %288) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %293 = jax.squeeze %292 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %293 : tensor<3x3x4x4xf32>
    }
    %294 = tessera.schedule.xla(%295 = %285) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %296 = jax.slice %295 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %296 : tensor<1x3x3x4x4xf32>
    }
    %297 = tessera.schedule.xla(%298 = %294, %299 = %291) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %300 = jax.squeeze %298 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %301 = jax.complex %299, %300 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %301 : tensor<3x3x4x4xcomplex<f32>>
    }
    %302 = tessera.schedule.xla(%303 = %244) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>> {
      %304 = jax.fft %303 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %304 : tensor<2x4x8x5xcomplex<f32>>
    }
    %305 = tessera.schedule.xla(%306 = %302) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %307 = jax.transpose %306 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %307 : tensor<2x8x5x4xcomplex<f32>>
    }
    %308 = tessera.schedule.xla(%309 = %305) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %310 = jax.slice %309 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %310 : tensor<2x3x3x4xcomplex<f32>>
    }
    %311 = tessera.schedule.xla(%312 = %277, %313 = %308) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %314 = jax.dot_general %312, %313 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %315 = jax.transpose %314 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %315 : tensor<2x3x3x4xcomplex<f32>>
    }
    %316 = tessera.schedule.xla(%317 = %305) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %318 = jax.slice %317 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %318 : tensor<2x3x3x4xcomplex<f32>>
    }
    %319 = tessera.schedule.xla(%320 = %297, %321 = %316) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %322 = jax.dot_general %320, %321 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %323 = jax.transpose %322 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %323 : tensor<2x3x3x4xcomplex<f32>>
    }
    %324 = tessera.schedule.xla(%325 = %92, %326 = %114, %327 = %311) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %328 = jax.scatter %325, %326, %327 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %328 : tensor<2x8x5x4xcomplex<f32>>
    }
    %329 = tessera.schedule.xla(%330 = %324, %331 = %122, %332 = %319) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %333 = jax.scatter %330, %331, %332 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %333 : tensor<2x8x5x4xcomplex<f32>>
    }
    %334 = tessera.schedule.xla(%335 = %329) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %336 = jax.transpose %335 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %336 : tensor<2x4x8x5xcomplex<f32>>
    }
    %337 = tessera.schedule.xla(%338 = %334) {pattern = "pad", runs = "xla", reason = "no Tessera op in it: jax.pad", flops = 0 : i64, bytes = 5128 : i64, seconds = 5.128000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %339 = tessera.graph.constant {value = "0j"} : () -> tensor<complex<f32>>
      %340 = jax.pad %338, %339 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %340 : tensor<2x4x8x5xcomplex<f32>>
    }
    %341 = tessera.schedule.xla(%342 = %337) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32> {
      %343 = jax.fft %342 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %343 : tensor<2x4x8x8xf32>
    }
    %344, %345 = tessera.schedule.fuse(%346 = %341, %347 = %243, %348 = %259) {pattern = "matmul+gelu", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 4>, flops = 8704 : i64, bytes = 14400 : i64, seconds = 1.440000e-06 : f64} : (tensor<2x4x8x8xf32>, tensor<2x8x8x4xf32>, tensor<4x4xf32>) -> (tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>) {
      %349 = jax.transpose %346 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
      %350 = tessera.graph.matmul %347, %348, %349 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %351 = tessera.graph.gelu %350 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %352 = jax.transpose %351 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %351, %352 : tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>
    }
    %353 = tessera.schedule.xla(%params.spectral_4 = %params.spectral) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 11520 : i64, seconds = 1.152000e-06 : f64} : (tensor<4x2x2x3x3x4x4xf32>) -> tensor<1x2x2x3x3x4x4xf32> {
      %354 = jax.slice %params.spectral_4 {params = "start_indices=(3, 0, 0, 0, 0, 0, 0) limit_indices=(4, 2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1, 1)"} : (tensor<4x2x2x3x3x4x4xf32>) -> tensor<1x2x2x3x3x4x4xf32>
      tessera.schedule.yield %354 : tensor<1x2x2x3x3x4x4xf32>
    }
    %355 = tessera.schedule.xla(%356 = %353) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<1x2x2x3x3x4x4xf32>) -> tensor<2x2x3x3x4x4xf32> {
      %357 = jax.squeeze %356 {params = "dimensions=(0,)"} : (tensor<1x2x2x3x3x4x4xf32>) -> tensor<2x2x3x3x4x4xf32>
      tessera.schedule.yield %357 : tensor<2x2x3x3x4x4xf32>
    }
    %358 = tessera.schedule.xla(%params.skip_4 = %params.skip) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 320 : i64, seconds = 3.200000e-08 : f64} : (tensor<4x4x4xf32>) -> tensor<1x4x4xf32> {
      %359 = jax.slice %params.skip_4 {params = "start_indices=(3, 0, 0) limit_indices=(4, 4, 4) strides=(1, 1, 1)"} : (tensor<4x4x4xf32>) -> tensor<1x4x4xf32>
      tessera.schedule.yield %359 : tensor<1x4x4xf32>
    }
    %360 = tessera.schedule.xla(%361 = %358) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 128 : i64, seconds = 1.280000e-08 : f64} : (tensor<1x4x4xf32>) -> tensor<4x4xf32> {
      %362 = jax.squeeze %361 {params = "dimensions=(0,)"} : (tensor<1x4x4xf32>) -> tensor<4x4xf32>
      tessera.schedule.yield %362 : tensor<4x4xf32>
    }
    %363 = tessera.schedule.xla(%364 = %355) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3456 : i64, seconds = 3.456000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32> {
      %365 = jax.slice %364 {params = "start_indices=(0, 0, 0, 0, 0, 0) limit_indices=(1, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
      tessera.schedule.yield %365 : tensor<1x2x3x3x4x4xf32>
    }
    %366 = tessera.schedule.xla(%367 = %363) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32> {
      %368 = jax.squeeze %367 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
      tessera.schedule.yield %368 : tensor<2x3x3x4x4xf32>
    }
    %369 = tessera.schedule.xla(%370 = %366) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %371 = jax.slice %370 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %371 : tensor<1x3x3x4x4xf32>
    }
    %372 = tessera.schedule.xla(%373 = %369) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %374 = jax.squeeze %373 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %374 : tensor<3x3x4x4xf32>
    }
    %375 = tessera.schedule.xla(%376 = %366) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %377 = jax.slice %376 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %377 : tensor<1x3x3x4x4xf32>
    }
    %378 = tessera.schedule.xla(%379 = %375, %380 = %372) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %381 = jax.squeeze %379 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %382 = jax.complex %380, %381 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %382 : tensor<3x3x4x4xcomplex<f32>>
    }
    %383 = tessera.schedule.xla(%384 = %355) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3456 : i64, seconds = 3.456000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32> {
      %385 = jax.slice %384 {params = "start_indices=(1, 0, 0, 0, 0, 0) limit_indices=(2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
      tessera.schedule.yield %385 : tensor<1x2x3x3x4x4xf32>
    }
    %386 = tessera.schedule.xla(%387 = %383) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32> {
      %388 = jax.squeeze %387 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
      tessera.schedule.yield %388 : tensor<2x3x3x4x4xf32>
    }
    %389 = tessera.schedule.xla(%390 = %386) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %391 = jax.slice %390 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %391 : tensor<1x3x3x4x4xf32>
    }
    %392 = tessera.schedule.xla(%393 = %389) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %394 = jax.squeeze %393 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %394 : tensor<3x3x4x4xf32>
    }
    %395 = tessera.schedule.xla(%396 = %386) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %397 = jax.slice %396 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %397 : tensor<1x3x3x4x4xf32>
    }
    %398 = tessera.schedule.xla(%399 = %395, %400 = %392) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %401 = jax.squeeze %399 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %402 = jax.complex %400, %401 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %402 : tensor<3x3x4x4xcomplex<f32>>
    }
    %403 = tessera.schedule.xla(%404 = %345) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>> {
      %405 = jax.fft %404 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %405 : tensor<2x4x8x5xcomplex<f32>>
    }
    %406 = tessera.schedule.xla(%407 = %403) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %408 = jax.transpose %407 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %408 : tensor<2x8x5x4xcomplex<f32>>
    }
    %409 = tessera.schedule.xla(%410 = %406) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %411 = jax.slice %410 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %411 : tensor<2x3x3x4xcomplex<f32>>
    }
    %412 = tessera.schedule.xla(%413 = %378, %414 = %409) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %415 = jax.dot_general %413, %414 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %416 = jax.transpose %415 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %416 : tensor<2x3x3x4xcomplex<f32>>
    }
    %417 = tessera.schedule.xla(%418 = %406) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %419 = jax.slice %418 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %419 : tensor<2x3x3x4xcomplex<f32>>
    }
    %420 = tessera.schedule.xla(%421 = %398, %422 = %417) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %423 = jax.dot_general %421, %422 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %424 = jax.transpose %423 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %424 : tensor<2x3x3x4xcomplex<f32>>
    }
    %425 = tessera.schedule.xla(%426 = %92, %427 = %114, %428 = %412) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %429 = jax.scatter %426, %427, %428 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %429 : tensor<2x8x5x4xcomplex<f32>>
    }
    %430 = tessera.schedule.xla(%431 = %425, %432 = %122, %433 = %420) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %434 = jax.scatter %431, %432, %433 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %434 : tensor<2x8x5x4xcomplex<f32>>
    }
    %435 = tessera.schedule.xla(%436 = %430) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %437 = jax.transpose %436 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %437 : tensor<2x4x8x5xcomplex<f32>>
    }
    %438 = tessera.schedule.xla(%439 = %435) {pattern = "pad", runs = "xla", reason = "no Tessera op in it: jax.pad", flops = 0 : i64, bytes = 5128 : i64, seconds = 5.128000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %440 = tessera.graph.constant {value = "0j"} : () -> tensor<complex<f32>>
      %441 = jax.pad %439, %440 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %441 : tensor<2x4x8x5xcomplex<f32>>
    }
    %442 = tessera.schedule.xla(%443 = %438) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32> {
      %444 = jax.fft %443 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %444 : tensor<2x4x8x8xf32>
    }
    %445 = tessera.schedule.fuse(%446 = %442, %447 = %344, %448 = %360) {pattern = "matmul+gelu", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 4>, flops = 8704 : i64, bytes = 10304 : i64, seconds = 1.030400e-06 : f64} : (tensor<2x4x8x8xf32>, tensor<2x8x8x4xf32>, tensor<4x4xf32>) -> tensor<2x8x8x4xf32> {
      %449 = jax.transpose %446 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
      %450 = tessera.graph.matmul %447, %448, %449 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %451 = tessera.graph.gelu %450 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      tessera.schedule.yield %451 : tensor<2x8x8x4xf32>
    }
    %452 = tessera.schedule.xla(%453 = %445, %params.project_1 = %params.project, %field_2 = %field) {pattern = "dot_general+integer_pow+sub+integer_pow", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.integer_pow, jax.sub", flops = 1408 : i64, bytes = 3088 : i64, seconds = 3.088000e-07 : f64} : (tensor<2x8x8x4xf32>, tensor<4x1xf32>, tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32> {
      %454 = jax.dot_general %453, %params.project_1 {params = "dimension_numbers=(((3,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<2x8x8x4xf32>, tensor<4x1xf32>) -> tensor<2x8x8x1xf32>
      %455 = jax.integer_pow %field_2 {params = "y=2"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
      %456 = jax.sub %454, %455 : (tensor<2x8x8x1xf32>, tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
      %457 = jax.integer_pow %456 {params = "y=2"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
      tessera.schedule.yield %457 : tensor<2x8x8x1xf32>
    }
    %458 = tessera.schedule.xla(%459 = %452) {pattern = "reduce_sum", runs = "xla", reason = "no Tessera op in it: jax.reduce_sum", flops = 128 : i64, bytes = 516 : i64, seconds = 5.160000e-08 : f64} : (tensor<2x8x8x1xf32>) -> tensor<f32> {
      %460 = jax.reduce_sum %459 {params = "axes=(0, 1, 2, 3)"} : (tensor<2x8x8x1xf32>) -> tensor<f32>
      tessera.schedule.yield %460 : tensor<f32>
    }
    %461 = tessera.schedule.xla(%field_3 = %field, %462 = %458) {pattern = "integer_pow+reduce_sum+div+sqrt", runs = "xla", reason = "no Tessera op in it: jax.div, jax.integer_pow, jax.reduce_sum, jax.sqrt", flops = 258 : i64, bytes = 520 : i64, seconds = 5.200000e-08 : f64} : (tensor<2x8x8x1xf32>, tensor<f32>) -> tensor<f32> {
      %463 = jax.integer_pow %field_3 {params = "y=4"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
      %464 = jax.reduce_sum %463 {params = "axes=(0, 1, 2, 3)"} : (tensor<2x8x8x1xf32>) -> tensor<f32>
      %465 = jax.div %462, %464 : (tensor<f32>, tensor<f32>) -> tensor<f32>
      %466 = jax.sqrt %465 : (tensor<f32>) -> tensor<f32>
      tessera.schedule.yield %466 : tensor<f32>
    }
    tessera.graph.return %461 : tensor<f32>
  }
}
