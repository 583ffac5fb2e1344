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
    %135 = tessera.schedule.xla() {pattern = "convert_element_type", runs = "xla", reason = "no Tessera op in it: jax.convert_element_type", flops = 0 : i64, bytes = 12 : i64, seconds = 1.200000e-09 : f64} : () -> tensor<complex<f32>> {
      %136 = tessera.graph.constant {value = 0 : i32} : () -> tensor<i32>
      %137 = jax.convert_element_type %136 {params = "new_dtype=complex64"} : (tensor<i32>) -> tensor<complex<f32>>
      tessera.schedule.yield %137 : tensor<complex<f32>>
    }
    %138 = tessera.schedule.xla(%139 = %132, %140 = %135) {pattern = "pad", runs = "xla", reason = "no Tessera op in it: jax.pad", flops = 0 : i64, bytes = 5128 : i64, seconds = 5.128000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %141 = jax.pad %139, %140 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %141 : tensor<2x4x8x5xcomplex<f32>>
    }
    %142 = tessera.schedule.xla(%143 = %138) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32> {
      %144 = jax.fft %143 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %144 : tensor<2x4x8x8xf32>
    }
    %145, %146 = tessera.schedule.fuse(%147 = %142, %148 = %31, %149 = %43) {pattern = "matmul+gelu", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 4>, flops = 8704 : i64, bytes = 14400 : i64, seconds = 1.440000e-06 : f64} : (tensor<2x4x8x8xf32>, tensor<2x8x8x4xf32>, tensor<4x4xf32>) -> (tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>) {
      %150 = jax.transpose %147 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
      %151 = tessera.graph.matmul %148, %149, %150 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %152 = tessera.graph.gelu %151 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %153 = jax.transpose %152 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %152, %153 : tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>
    }
    %154 = tessera.schedule.xla(%params.spectral_2 = %params.spectral) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 11520 : i64, seconds = 1.152000e-06 : f64} : (tensor<4x2x2x3x3x4x4xf32>) -> tensor<1x2x2x3x3x4x4xf32> {
      %155 = jax.slice %params.spectral_2 {params = "start_indices=(1, 0, 0, 0, 0, 0, 0) limit_indices=(2, 2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1, 1)"} : (tensor<4x2x2x3x3x4x4xf32>) -> tensor<1x2x2x3x3x4x4xf32>
      tessera.schedule.yield %155 : tensor<1x2x2x3x3x4x4xf32>
    }
    %156 = tessera.schedule.xla(%157 = %154) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<1x2x2x3x3x4x4xf32>) -> tensor<2x2x3x3x4x4xf32> {
      %158 = jax.squeeze %157 {params = "dimensions=(0,)"} : (tensor<1x2x2x3x3x4x4xf32>) -> tensor<2x2x3x3x4x4xf32>
      tessera.schedule.yield %158 : tensor<2x2x3x3x4x4xf32>
    }
    %159 = tessera.schedule.xla(%params.skip_2 = %params.skip) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 320 : i64, seconds = 3.200000e-08 : f64} : (tensor<4x4x4xf32>) -> tensor<1x4x4xf32> {
      %160 = jax.slice %params.skip_2 {params = "start_indices=(1, 0, 0) limit_indices=(2, 4, 4) strides=(1, 1, 1)"} : (tensor<4x4x4xf32>) -> tensor<1x4x4xf32>
      tessera.schedule.yield %160 : tensor<1x4x4xf32>
    }
    %161 = tessera.schedule.xla(%162 = %159) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 128 : i64, seconds = 1.280000e-08 : f64} : (tensor<1x4x4xf32>) -> tensor<4x4xf32> {
      %163 = jax.squeeze %162 {params = "dimensions=(0,)"} : (tensor<1x4x4xf32>) -> tensor<4x4xf32>
      tessera.schedule.yield %163 : tensor<4x4xf32>
    }
    %164 = tessera.schedule.xla(%165 = %156) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3456 : i64, seconds = 3.456000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32> {
      %166 = jax.slice %165 {params = "start_indices=(0, 0, 0, 0, 0, 0) limit_indices=(1, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
      tessera.schedule.yield %166 : tensor<1x2x3x3x4x4xf32>
    }
    %167 = tessera.schedule.xla(%168 = %164) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32> {
      %169 = jax.squeeze %168 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
      tessera.schedule.yield %169 : tensor<2x3x3x4x4xf32>
    }
    %170 = tessera.schedule.xla(%171 = %167) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %172 = jax.slice %171 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %172 : tensor<1x3x3x4x4xf32>
    }
    %173 = tessera.schedule.xla(%174 = %170) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %175 = jax.squeeze %174 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %175 : tensor<3x3x4x4xf32>
    }
    %176 = tessera.schedule.xla(%177 = %167) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %178 = jax.slice %177 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %178 : tensor<1x3x3x4x4xf32>
    }
    %179 = tessera.schedule.xla(%180 = %176, %181 = %173) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %182 = jax.squeeze %180 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %183 = jax.complex %181, %182 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %183 : tensor<3x3x4x4xcomplex<f32>>
    }
    %184 = tessera.schedule.xla(%185 = %156) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3456 : i64, seconds = 3.456000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32> {
      %186 = jax.slice %185 {params = "start_indices=(1, 0, 0, 0, 0, 0) limit_indices=(2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
      tessera.schedule.yield %186 : tensor<1x2x3x3x4x4xf32>
    }
    %187 = tessera.schedule.xla(%188 = %184) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32> {
      %189 = jax.squeeze %188 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
      tessera.schedule.yield %189 : tensor<2x3x3x4x4xf32>
    }
    %190 = tessera.schedule.xla(%191 = %187) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %192 = jax.slice %191 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %192 : tensor<1x3x3x4x4xf32>
    }
    %193 = tessera.schedule.xla(%194 = %190) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %195 = jax.squeeze %194 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %195 : tensor<3x3x4x4xf32>
    }
    %196 = tessera.schedule.xla(%197 = %187) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %198 = jax.slice %197 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %198 : tensor<1x3x3x4x4xf32>
    }
    %199 = tessera.schedule.xla(%200 = %196, %201 = %193) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %202 = jax.squeeze %200 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %203 = jax.complex %201, %202 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %203 : tensor<3x3x4x4xcomplex<f32>>
    }
    %204 = tessera.schedule.xla(%205 = %146) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>> {
      %206 = jax.fft %205 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %206 : tensor<2x4x8x5xcomplex<f32>>
    }
    %207 = tessera.schedule.xla(%208 = %204) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %209 = jax.transpose %208 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %209 : tensor<2x8x5x4xcomplex<f32>>
    }
    %210 = tessera.schedule.xla(%211 = %207) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %212 = jax.slice %211 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %212 : tensor<2x3x3x4xcomplex<f32>>
    }
    %213 = tessera.schedule.xla(%214 = %179, %215 = %210) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %216 = jax.dot_general %214, %215 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %217 = jax.transpose %216 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %217 : tensor<2x3x3x4xcomplex<f32>>
    }
    %218 = tessera.schedule.xla(%219 = %207) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %220 = jax.slice %219 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %220 : tensor<2x3x3x4xcomplex<f32>>
    }
    %221 = tessera.schedule.xla(%222 = %199, %223 = %218) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %224 = jax.dot_general %222, %223 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %225 = jax.transpose %224 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %225 : tensor<2x3x3x4xcomplex<f32>>
    }
    %226 = tessera.schedule.xla(%227 = %92, %228 = %114, %229 = %213) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %230 = jax.scatter %227, %228, %229 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %230 : tensor<2x8x5x4xcomplex<f32>>
    }
    %231 = tessera.schedule.xla(%232 = %226, %233 = %122, %234 = %221) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %235 = jax.scatter %232, %233, %234 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %235 : tensor<2x8x5x4xcomplex<f32>>
    }
    %236 = tessera.schedule.xla(%237 = %231) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %238 = jax.transpose %237 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %238 : tensor<2x4x8x5xcomplex<f32>>
    }
    %239 = tessera.schedule.xla(%240 = %236, %241 = %135) {pattern = "pad", runs = "xla", reason = "no Tessera op in it: jax.pad", flops = 0 : i64, bytes = 5128 : i64, seconds = 5.128000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %242 = jax.pad %240, %241 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %242 : tensor<2x4x8x5xcomplex<f32>>
    }
    %243 = tessera.schedule.xla(%244 = %239) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32> {
      %245 = jax.fft %244 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %245 : tensor<2x4x8x8xf32>
    }
    %246, %247 = tessera.schedule.fuse(%248 = %243, %249 = %145, %250 = %161) {pattern = "matmul+gelu", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 4>, flops = 8704 : i64, bytes = 14400 : i64, seconds = 1.440000e-06 : f64} : (tensor<2x4x8x8xf32>, tensor<2x8x8x4xf32>, tensor<4x4xf32>) -> (tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>) {
      %251 = jax.transpose %248 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
      %252 = tessera.graph.matmul %249, %250, %251 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %253 = tessera.graph.gelu %252 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %254 = jax.transpose %253 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %253, %254 : tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>
    }
    %255 = tessera.schedule.xla(%params.spectral_3 = %params.spectral) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 11520 : i64, seconds = 1.152000e-06 : f64} : (tensor<4x2x2x3x3x4x4xf32>) -> tensor<1x2x2x3x3x4x4xf32> {
      %256 = jax.slice %params.spectral_3 {params = "start_indices=(2, 0, 0, 0, 0, 0, 0) limit_indices=(3, 2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1, 1)"} : (tensor<4x2x2x3x3x4x4xf32>) -> tensor<1x2x2x3x3x4x4xf32>
      tessera.schedule.yield %256 : tensor<1x2x2x3x3x4x4xf32>
    }
    %257 = tessera.schedule.xla(%258 = %255) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<1x2x2x3x3x4x4xf32>) -> tensor<2x2x3x3x4x4xf32> {
      %259 = jax.squeeze %258 {params = "dimensions=(0,)"} : (tensor<1x2x2x3x3x4x4xf32>) -> tensor<2x2x3x3x4x4xf32>
      tessera.schedule.yield %259 : tensor<2x2x3x3x4x4xf32>
    }
    %260 = tessera.schedule.xla(%params.skip_3 = %params.skip) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 320 : i64, seconds = 3.200000e-08 : f64} : (tensor<4x4x4xf32>) -> tensor<1x4x4xf32> {
      %261 = jax.slice %params.skip_3 {params = "start_indices=(2, 0, 0) limit_indices=(3, 4, 4) strides=(1, 1, 1)"} : (tensor<4x4x4xf32>) -> tensor<1x4x4xf32>
      tessera.schedule.yield %261 : tensor<1x4x4xf32>
    }
    %262 = tessera.schedule.xla(%263 = %260) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 128 : i64, seconds = 1.280000e-08 : f64} : (tensor<1x4x4xf32>) -> tensor<4x4xf32> {
      %264 = jax.squeeze %263 {params = "dimensions=(0,)"} : (tensor<1x4x4xf32>) -> tensor<4x4xf32>
      tessera.schedule.yield %264 : tensor<4x4xf32>
    }
    %265 = tessera.schedule.xla(%266 = %257) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3456 : i64, seconds = 3.456000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32> {
      %267 = jax.slice %266 {params = "start_indices=(0, 0, 0, 0, 0, 0) limit_indices=(1, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
      tessera.schedule.yield %267 : tensor<1x2x3x3x4x4xf32>
    }
    %268 = tessera.schedule.xla(%269 = %265) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32> {
      %270 = jax.squeeze %269 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
      tessera.schedule.yield %270 : tensor<2x3x3x4x4xf32>
    }
    %271 = tessera.schedule.xla(%272 = %268) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %273 = jax.slice %272 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %273 : tensor<1x3x3x4x4xf32>
    }
    %274 = tessera.schedule.xla(%275 = %271) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %276 = jax.squeeze %275 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %276 : tensor<3x3x4x4xf32>
    }
    %277 = tessera.schedule.xla(%278 = %268) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %279 = jax.slice %278 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %279 : tensor<1x3x3x4x4xf32>
    }
    %280 = tessera.schedule.xla(%281 = %277, %282 = %274) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %283 = jax.squeeze %281 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %284 = jax.complex %282, %283 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %284 : tensor<3x3x4x4xcomplex<f32>>
    }
    %285 = tessera.schedule.xla(%286 = %257) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3456 : i64, seconds = 3.456000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32> {
      %287 = jax.slice %286 {params = "start_indices=(1, 0, 0, 0, 0, 0) limit_indices=(2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
      tessera.schedule.yield %287 : tensor<1x2x3x3x4x4xf32>
    }
    %288 = tessera.schedule.xla(%289 = %285) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32> {
      %290 = jax.squeeze %289 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
      tessera.schedule.yield %290 : tensor<2x3x3x4x4xf32>
    }
    %291 = tessera.schedule.xla(%292 = %288) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %293 = jax.slice %292 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %293 : tensor<1x3x3x4x4xf32>
    }
    %294 = tessera.schedule.xla(%295 = %291) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %296 = jax.squeeze %295 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %296 : tensor<3x3x4x4xf32>
    }
    %297 = tessera.schedule.xla(%298 = %288) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %299 = jax.slice %298 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %299 : tensor<1x3x3x4x4xf32>
    }
    %300 = tessera.schedule.xla(%301 = %297, %302 = %294) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %303 = jax.squeeze %301 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %304 = jax.complex %302, %303 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %304 : tensor<3x3x4x4xcomplex<f32>>
    }
    %305 = tessera.schedule.xla(%306 = %247) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>> {
      %307 = jax.fft %306 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %307 : tensor<2x4x8x5xcomplex<f32>>
    }
    %308 = tessera.schedule.xla(%309 = %305) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %310 = jax.transpose %309 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %310 : tensor<2x8x5x4xcomplex<f32>>
    }
    %311 = tessera.schedule.xla(%312 = %308) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %313 = jax.slice %312 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %313 : tensor<2x3x3x4xcomplex<f32>>
    }
    %314 = tessera.schedule.xla(%315 = %280, %316 = %311) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %317 = jax.dot_general %315, %316 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %318 = jax.transpose %317 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %318 : tensor<2x3x3x4xcomplex<f32>>
    }
    %319 = tessera.schedule.xla(%320 = %308) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %321 = jax.slice %320 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %321 : tensor<2x3x3x4xcomplex<f32>>
    }
    %322 = tessera.schedule.xla(%323 = %300, %324 = %319) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %325 = jax.dot_general %323, %324 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %326 = jax.transpose %325 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %326 : tensor<2x3x3x4xcomplex<f32>>
    }
    %327 = tessera.schedule.xla(%328 = %92, %329 = %114, %330 = %314) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %331 = jax.scatter %328, %329, %330 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %331 : tensor<2x8x5x4xcomplex<f32>>
    }
    %332 = tessera.schedule.xla(%333 = %327, %334 = %122, %335 = %322) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %336 = jax.scatter %333, %334, %335 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %336 : tensor<2x8x5x4xcomplex<f32>>
    }
    %337 = tessera.schedule.xla(%338 = %332) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %339 = jax.transpose %338 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %339 : tensor<2x4x8x5xcomplex<f32>>
    }
    %340 = tessera.schedule.xla(%341 = %337, %342 = %135) {pattern = "pad", runs = "xla", reason = "no Tessera op in it: jax.pad", flops = 0 : i64, bytes = 5128 : i64, seconds = 5.128000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %343 = jax.pad %341, %342 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %343 : tensor<2x4x8x5xcomplex<f32>>
    }
    %344 = tessera.schedule.xla(%345 = %340) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32> {
      %346 = jax.fft %345 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %346 : tensor<2x4x8x8xf32>
    }
    %347, %348 = tessera.schedule.fuse(%349 = %344, %350 = %246, %351 = %262) {pattern = "matmul+gelu", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 4>, flops = 8704 : i64, bytes = 14400 : i64, seconds = 1.440000e-06 : f64} : (tensor<2x4x8x8xf32>, tensor<2x8x8x4xf32>, tensor<4x4xf32>) -> (tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>) {
      %352 = jax.transpose %349 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
      %353 = tessera.graph.matmul %350, %351, %352 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %354 = tessera.graph.gelu %353 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %355 = jax.transpose %354 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x8x4xf32>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %354, %355 : tensor<2x8x8x4xf32>, tensor<2x4x8x8xf32>
    }
    %356 = tessera.schedule.xla(%params.spectral_4 = %params.spectral) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 11520 : i64, seconds = 1.152000e-06 : f64} : (tensor<4x2x2x3x3x4x4xf32>) -> tensor<1x2x2x3x3x4x4xf32> {
      %357 = jax.slice %params.spectral_4 {params = "start_indices=(3, 0, 0, 0, 0, 0, 0) limit_indices=(4, 2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1, 1)"} : (tensor<4x2x2x3x3x4x4xf32>) -> tensor<1x2x2x3x3x4x4xf32>
      tessera.schedule.yield %357 : tensor<1x2x2x3x3x4x4xf32>
    }
    %358 = tessera.schedule.xla(%359 = %356) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<1x2x2x3x3x4x4xf32>) -> tensor<2x2x3x3x4x4xf32> {
      %360 = jax.squeeze %359 {params = "dimensions=(0,)"} : (tensor<1x2x2x3x3x4x4xf32>) -> tensor<2x2x3x3x4x4xf32>
      tessera.schedule.yield %360 : tensor<2x2x3x3x4x4xf32>
    }
    %361 = tessera.schedule.xla(%params.skip_4 = %params.skip) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 320 : i64, seconds = 3.200000e-08 : f64} : (tensor<4x4x4xf32>) -> tensor<1x4x4xf32> {
      %362 = jax.slice %params.skip_4 {params = "start_indices=(3, 0, 0) limit_indices=(4, 4, 4) strides=(1, 1, 1)"} : (tensor<4x4x4xf32>) -> tensor<1x4x4xf32>
      tessera.schedule.yield %362 : tensor<1x4x4xf32>
    }
    %363 = tessera.schedule.xla(%364 = %361) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 128 : i64, seconds = 1.280000e-08 : f64} : (tensor<1x4x4xf32>) -> tensor<4x4xf32> {
      %365 = jax.squeeze %364 {params = "dimensions=(0,)"} : (tensor<1x4x4xf32>) -> tensor<4x4xf32>
      tessera.schedule.yield %365 : tensor<4x4xf32>
    }
    %366 = tessera.schedule.xla(%367 = %358) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3456 : i64, seconds = 3.456000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32> {
      %368 = jax.slice %367 {params = "start_indices=(0, 0, 0, 0, 0, 0) limit_indices=(1, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
      tessera.schedule.yield %368 : tensor<1x2x3x3x4x4xf32>
    }
    %369 = tessera.schedule.xla(%370 = %366) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32> {
      %371 = jax.squeeze %370 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
      tessera.schedule.yield %371 : tensor<2x3x3x4x4xf32>
    }
    %372 = tessera.schedule.xla(%373 = %369) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %374 = jax.slice %373 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %374 : tensor<1x3x3x4x4xf32>
    }
    %375 = tessera.schedule.xla(%376 = %372) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %377 = jax.squeeze %376 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %377 : tensor<3x3x4x4xf32>
    }
    %378 = tessera.schedule.xla(%379 = %369) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %380 = jax.slice %379 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %380 : tensor<1x3x3x4x4xf32>
    }
    %381 = tessera.schedule.xla(%382 = %378, %383 = %375) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %384 = jax.squeeze %382 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %385 = jax.complex %383, %384 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %385 : tensor<3x3x4x4xcomplex<f32>>
    }
    %386 = tessera.schedule.xla(%387 = %358) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3456 : i64, seconds = 3.456000e-07 : f64} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32> {
      %388 = jax.slice %387 {params = "start_indices=(1, 0, 0, 0, 0, 0) limit_indices=(2, 2, 3, 3, 4, 4) strides=(1, 1, 1, 1, 1, 1)"} : (tensor<2x2x3x3x4x4xf32>) -> tensor<1x2x3x3x4x4xf32>
      tessera.schedule.yield %388 : tensor<1x2x3x3x4x4xf32>
    }
    %389 = tessera.schedule.xla(%390 = %386) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32> {
      %391 = jax.squeeze %390 {params = "dimensions=(0,)"} : (tensor<1x2x3x3x4x4xf32>) -> tensor<2x3x3x4x4xf32>
      tessera.schedule.yield %391 : tensor<2x3x3x4x4xf32>
    }
    %392 = tessera.schedule.xla(%393 = %389) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %394 = jax.slice %393 {params = "start_indices=(0, 0, 0, 0, 0) limit_indices=(1, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %394 : tensor<1x3x3x4x4xf32>
    }
    %395 = tessera.schedule.xla(%396 = %392) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 1152 : i64, seconds = 1.152000e-07 : f64} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32> {
      %397 = jax.squeeze %396 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      tessera.schedule.yield %397 : tensor<3x3x4x4xf32>
    }
    %398 = tessera.schedule.xla(%399 = %389) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 1728 : i64, seconds = 1.728000e-07 : f64} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32> {
      %400 = jax.slice %399 {params = "start_indices=(1, 0, 0, 0, 0) limit_indices=(2, 3, 3, 4, 4)"} : (tensor<2x3x3x4x4xf32>) -> tensor<1x3x3x4x4xf32>
      tessera.schedule.yield %400 : tensor<1x3x3x4x4xf32>
    }
    %401 = tessera.schedule.xla(%402 = %398, %403 = %395) {pattern = "complex", runs = "xla", reason = "no Tessera op in it: jax.complex, jax.squeeze", flops = 144 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<1x3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>> {
      %404 = jax.squeeze %402 {params = "dimensions=(0,)"} : (tensor<1x3x3x4x4xf32>) -> tensor<3x3x4x4xf32>
      %405 = jax.complex %403, %404 : (tensor<3x3x4x4xf32>, tensor<3x3x4x4xf32>) -> tensor<3x3x4x4xcomplex<f32>>
      tessera.schedule.yield %405 : tensor<3x3x4x4xcomplex<f32>>
    }
    %406 = tessera.schedule.xla(%407 = %348) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>> {
      %408 = jax.fft %407 {params = "fft_type=2 fft_lengths=(8, 8)"} : (tensor<2x4x8x8xf32>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %408 : tensor<2x4x8x5xcomplex<f32>>
    }
    %409 = tessera.schedule.xla(%410 = %406) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %411 = jax.transpose %410 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %411 : tensor<2x8x5x4xcomplex<f32>>
    }
    %412 = tessera.schedule.xla(%413 = %409) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %414 = jax.slice %413 {params = "start_indices=(0, 0, 0, 0) limit_indices=(2, 3, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %414 : tensor<2x3x3x4xcomplex<f32>>
    }
    %415 = tessera.schedule.xla(%416 = %381, %417 = %412) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %418 = jax.dot_general %416, %417 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %419 = jax.transpose %418 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %419 : tensor<2x3x3x4xcomplex<f32>>
    }
    %420 = tessera.schedule.xla(%421 = %409) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 3136 : i64, seconds = 3.136000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %422 = jax.slice %421 {params = "start_indices=(0, 5, 0, 0) limit_indices=(2, 8, 3, 4)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %422 : tensor<2x3x3x4xcomplex<f32>>
    }
    %423 = tessera.schedule.xla(%424 = %401, %425 = %420) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 576 : i64, bytes = 2304 : i64, seconds = 2.304000e-07 : f64} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>> {
      %426 = jax.dot_general %424, %425 {params = "dimension_numbers=(((2,), (3,)), ((0, 1), (1, 2))) preferred_element_type=complex64"} : (tensor<3x3x4x4xcomplex<f32>>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<3x3x4x2xcomplex<f32>>
      %427 = jax.transpose %426 {params = "permutation=(3, 0, 1, 2)"} : (tensor<3x3x4x2xcomplex<f32>>) -> tensor<2x3x3x4xcomplex<f32>>
      tessera.schedule.yield %427 : tensor<2x3x3x4xcomplex<f32>>
    }
    %428 = tessera.schedule.xla(%429 = %92, %430 = %114, %431 = %415) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %432 = jax.scatter %429, %430, %431 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %432 : tensor<2x8x5x4xcomplex<f32>>
    }
    %433 = tessera.schedule.xla(%434 = %428, %435 = %122, %436 = %423) {pattern = "scatter", runs = "xla", reason = "no Tessera op in it: jax.scatter", flops = 320 : i64, bytes = 5704 : i64, seconds = 5.704000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>> {
      %437 = jax.scatter %434, %435, %436 {params = "dimension_numbers=ScatterDimensionNumbers(update_window_dims=(0, 1, 2, 3), inserted_window_dims=(), scatter_dims_to_operand_dims=(1, 2), … indices_are_sorted=True unique_indices=True mode=GatherScatterMode.FILL_OR_DROP"} : (tensor<2x8x5x4xcomplex<f32>>, tensor<2xi32>, tensor<2x3x3x4xcomplex<f32>>) -> tensor<2x8x5x4xcomplex<f32>>
      tessera.schedule.yield %437 : tensor<2x8x5x4xcomplex<f32>>
    }
    %438 = tessera.schedule.xla(%439 = %433) {pattern = "transpose", runs = "xla", reason = "no Tessera op in it: jax.transpose", flops = 0 : i64, bytes = 5120 : i64, seconds = 5.120000e-07 : f64} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %440 = jax.transpose %439 {params = "permutation=(0, 3, 1, 2)"} : (tensor<2x8x5x4xcomplex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %440 : tensor<2x4x8x5xcomplex<f32>>
    }
    %441 = tessera.schedule.xla(%442 = %438, %443 = %135) {pattern = "pad", runs = "xla", reason = "no Tessera op in it: jax.pad", flops = 0 : i64, bytes = 5128 : i64, seconds = 5.128000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>> {
      %444 = jax.pad %442, %443 {params = "padding_config=((np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0), 0), (np.int64(0), np.int64(0)…"} : (tensor<2x4x8x5xcomplex<f32>>, tensor<complex<f32>>) -> tensor<2x4x8x5xcomplex<f32>>
      tessera.schedule.yield %444 : tensor<2x4x8x5xcomplex<f32>>
    }
    %445 = tessera.schedule.xla(%446 = %441) {pattern = "fft", runs = "xla", reason = "no Tessera op in it: jax.fft", flops = 15360 : i64, bytes = 4608 : i64, seconds = 4.608000e-07 : f64} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32> {
      %447 = jax.fft %446 {params = "fft_type=3 fft_lengths=(8, 8)"} : (tensor<2x4x8x5xcomplex<f32>>) -> tensor<2x4x8x8xf32>
      tessera.schedule.yield %447 : tensor<2x4x8x8xf32>
    }
    %448 = tessera.schedule.fuse(%449 = %445, %450 = %347, %451 = %363) {pattern = "matmul+gelu", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 4>, flops = 8704 : i64, bytes = 10304 : i64, seconds = 1.030400e-06 : f64} : (tensor<2x4x8x8xf32>, tensor<2x8x8x4xf32>, tensor<4x4xf32>) -> tensor<2x8x8x4xf32> {
      %452 = jax.transpose %449 {params = "permutation=(0, 2, 3, 1)"} : (tensor<2x4x8x8xf32>) -> tensor<2x8x8x4xf32>
      %453 = tessera.graph.matmul %450, %451, %452 {present = [true, true, false, true], accumulate = "float32"} : (tensor<2x8x8x4xf32>, tensor<4x4xf32>, tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      %454 = tessera.graph.gelu %453 {approximate = true} : (tensor<2x8x8x4xf32>) -> tensor<2x8x8x4xf32>
      tessera.schedule.yield %454 : tensor<2x8x8x4xf32>
    }
    %455 = tessera.schedule.xla(%456 = %448, %params.project_1 = %params.project, %field_2 = %field) {pattern = "dot_general+integer_pow+sub+integer_pow", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.integer_pow, jax.sub", flops = 1408 : i64, bytes = 3088 : i64, seconds = 3.088000e-07 : f64} : (tensor<2x8x8x4xf32>, tensor<4x1xf32>, tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32> {
      %457 = jax.dot_general %456, %params.project_1 {params = "dimension_numbers=(((3,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<2x8x8x4xf32>, tensor<4x1xf32>) -> tensor<2x8x8x1xf32>
      %458 = jax.integer_pow %field_2 {params = "y=2"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
      %459 = jax.sub %457, %458 : (tensor<2x8x8x1xf32>, tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
      %460 = jax.integer_pow %459 {params = "y=2"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
      tessera.schedule.yield %460 : tensor<2x8x8x1xf32>
    }
    %461 = tessera.schedule.xla(%462 = %455) {pattern = "reduce_sum", runs = "xla", reason = "no Tessera op in it: jax.reduce_sum", flops = 128 : i64, bytes = 516 : i64, seconds = 5.160000e-08 : f64} : (tensor<2x8x8x1xf32>) -> tensor<f32> {
      %463 = jax.reduce_sum %462 {params = "axes=(0, 1, 2, 3)"} : (tensor<2x8x8x1xf32>) -> tensor<f32>
      tessera.schedule.yield %463 : tensor<f32>
    }
    %464 = tessera.schedule.xla(%field_3 = %field, %465 = %461) {pattern = "integer_pow+reduce_sum+div+sqrt", runs = "xla", reason = "no Tessera op in it: jax.div, jax.integer_pow, jax.reduce_sum, jax.sqrt", flops = 258 : i64, bytes = 520 : i64, seconds = 5.200000e-08 : f64} : (tensor<2x8x8x1xf32>, tensor<f32>) -> tensor<f32> {
      %466 = jax.integer_pow %field_3 {params = "y=4"} : (tensor<2x8x8x1xf32>) -> tensor<2x8x8x1xf32>
      %467 = jax.reduce_sum %466 {params = "axes=(0, 1, 2, 3)"} : (tensor<2x8x8x1xf32>) -> tensor<f32>
      %468 = jax.div %465, %467 : (tensor<f32>, tensor<f32>) -> tensor<f32>
      %469 = jax.sqrt %468 : (tensor<f32>) -> tensor<f32>
      tessera.schedule.yield %469 : tensor<f32>
    }
    tessera.graph.return %464 : tensor<f32>
  }
}
