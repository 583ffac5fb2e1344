module @loss attributes {level = "schedule"} {
  tessera.graph.func @loss(%params.0.0: tensor<2x8xf32>, %params.0.1: tensor<8xf32>, %params.1.0: tensor<8x8xf32>, %params.1.1: tensor<8xf32>, %params.2.0: tensor<8x1xf32>, %params.2.1: tensor<1xf32>, %inside: tensor<6x2xf32>, %start: tensor<3xf32>) -> tensor<f32> {
    %0 = tessera.schedule.xla(%inside_1 = %inside) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 72 : i64, seconds = 7.200000e-09 : f64} : (tensor<6x2xf32>) -> tensor<6x1xf32> {
      %1 = jax.slice %inside_1 {params = "start_indices=(0, 0) limit_indices=(6, 1)"} : (tensor<6x2xf32>) -> tensor<6x1xf32>
      tessera.schedule.yield %1 : tensor<6x1xf32>
    }
    %2 = tessera.schedule.xla(%3 = %0) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 48 : i64, seconds = 4.800000e-09 : f64} : (tensor<6x1xf32>) -> tensor<6xf32> {
      %4 = jax.squeeze %3 {params = "dimensions=(1,)"} : (tensor<6x1xf32>) -> tensor<6xf32>
      tessera.schedule.yield %4 : tensor<6xf32>
    }
    %5 = tessera.schedule.xla(%inside_2 = %inside) {pattern = "slice", runs = "xla", reason = "no Tessera op in it: jax.slice", flops = 0 : i64, bytes = 72 : i64, seconds = 7.200000e-09 : f64} : (tensor<6x2xf32>) -> tensor<6x1xf32> {
      %6 = jax.slice %inside_2 {params = "start_indices=(0, 1) limit_indices=(6, 2)"} : (tensor<6x2xf32>) -> tensor<6x1xf32>
      tessera.schedule.yield %6 : tensor<6x1xf32>
    }
    %7 = tessera.schedule.xla(%8 = %5) {pattern = "squeeze", runs = "xla", reason = "no Tessera op in it: jax.squeeze", flops = 0 : i64, bytes = 48 : i64, seconds = 4.800000e-09 : f64} : (tensor<6x1xf32>) -> tensor<6xf32> {
      %9 = jax.squeeze %8 {params = "dimensions=(1,)"} : (tensor<6x1xf32>) -> tensor<6xf32>
      tessera.schedule.yield %9 : tensor<6xf32>
    }
    %10 = tessera.schedule.xla(%11 = %2, %12 = %7) {pattern = "stack", runs = "xla", reason = "no Tessera op in it: jax.stack", flops = 0 : i64, bytes = 96 : i64, seconds = 9.600000e-09 : f64} : (tensor<6xf32>, tensor<6xf32>) -> tensor<2x6xf32> {
      %13 = jax.stack %11, %12 {params = "axis=0"} : (tensor<6xf32>, tensor<6xf32>) -> tensor<2x6xf32>
      tessera.schedule.yield %13 : tensor<2x6xf32>
    }
    %14, %15, %16 = tessera.schedule.xla(%17 = %10, %params.0.0_1 = %params.0.0, %params.0.1_1 = %params.0.1) {pattern = "dot_general+add+tanh+one_minus_square+mul", runs = "xla", reason = "no Tessera op in it: jax.add, jax.broadcast_in_dim, jax.dot_general, jax.mul", flops = 384 : i64, bytes = 912 : i64, seconds = 9.120000e-08 : f64} : (tensor<2x6xf32>, tensor<2x8xf32>, tensor<8xf32>) -> (tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>) {
      %18 = tessera.graph.constant {value = -2.000000e+00 : f32} : () -> tensor<f32>
      %19 = jax.dot_general %17, %params.0.0_1 {params = "dimension_numbers=(((0,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<2x6xf32>, tensor<2x8xf32>) -> tensor<6x8xf32>
      %20 = jax.broadcast_in_dim %params.0.1_1 {params = "shape=(1, 8) broadcast_dimensions=(np.int64(1),)"} : (tensor<8xf32>) -> tensor<1x8xf32>
      %21 = jax.add %19, %20 : (tensor<6x8xf32>, tensor<1x8xf32>) -> tensor<6x8xf32>
      %22 = jax.tanh %21 : (tensor<6x8xf32>) -> tensor<6x8xf32>
      %23 = jax.one_minus_square %22 : (tensor<6x8xf32>) -> tensor<6x8xf32>
      %24 = jax.mul %18, %22 : (tensor<f32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      tessera.schedule.yield %22, %23, %24 : tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>
    }
    %25, %26, %27 = tessera.schedule.fuse(%28 = %14, %params.1.0_1 = %params.1.0, %params.1.1_1 = %params.1.1) {pattern = "matmul+one_minus_square+mul", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 8>, padded = array<i64: 8, 8>, flops = 960 : i64, bytes = 1440 : i64, seconds = 1.440000e-07 : f64} : (tensor<6x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> (tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>) {
      %29 = tessera.graph.constant {value = -2.000000e+00 : f32} : () -> tensor<f32>
      %30 = tessera.graph.matmul %28, %params.1.0_1, %params.1.1_1 {present = [true, true, true, false], activation = "tanh", accumulate = "float32"} : (tensor<6x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<6x8xf32>
      %31 = jax.one_minus_square %30 : (tensor<6x8xf32>) -> tensor<6x8xf32>
      %32 = jax.mul %29, %30 : (tensor<f32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      tessera.schedule.yield %30, %31, %32 : tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>
    }
    %33 = tessera.schedule.fuse(%34 = %25, %params.2.0_1 = %params.2.0, %params.2.1_1 = %params.2.1) {pattern = "matmul", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 1>, padded = array<i64: 8, 1>, flops = 102 : i64, bytes = 276 : i64, seconds = 2.760000e-08 : f64} : (tensor<6x8xf32>, tensor<8x1xf32>, tensor<1xf32>) -> tensor<6xf32> {
      %35 = tessera.graph.matmul %34, %params.2.0_1, %params.2.1_1 {present = [true, true, true, false], accumulate = "float32"} : (tensor<6x8xf32>, tensor<8x1xf32>, tensor<1xf32>) -> tensor<6x1xf32>
      %36 = jax.squeeze %35 {params = "dimensions=(1,)"} : (tensor<6x1xf32>) -> tensor<6xf32>
      tessera.schedule.yield %36 : tensor<6xf32>
    }
    %37, %38 = tessera.schedule.xla(%params.2.0_2 = %params.2.0, %39 = %26) {pattern = "dot_general+mul", runs = "xla", reason = "no Tessera op in it: jax.broadcast_in_dim, jax.dot_general, jax.mul", flops = 64 : i64, bytes = 448 : i64, seconds = 4.480000e-08 : f64} : (tensor<8x1xf32>, tensor<6x8xf32>) -> (tensor<1x8xf32>, tensor<6x8xf32>) {
      %40 = tessera.graph.constant {value = 1.000000e+00 : f32} : () -> tensor<f32>
      %41 = jax.broadcast_in_dim %40 {params = "shape=(1,)"} : (tensor<f32>) -> tensor<1xf32>
      %42 = jax.dot_general %41, %params.2.0_2 {params = "dimension_numbers=(((0,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<1xf32>, tensor<8x1xf32>) -> tensor<8xf32>
      %43 = jax.broadcast_in_dim %42 {params = "shape=(1, 8) broadcast_dimensions=(np.int64(1),)"} : (tensor<8xf32>) -> tensor<1x8xf32>
      %44 = jax.mul %43, %39 : (tensor<1x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      tessera.schedule.yield %43, %44 : tensor<1x8xf32>, tensor<6x8xf32>
    }
    %45, %46 = tessera.schedule.xla(%47 = %38, %params.1.0_2 = %params.1.0, %48 = %15) {pattern = "dot_general+mul", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.mul", flops = 816 : i64, bytes = 1024 : i64, seconds = 1.024000e-07 : f64} : (tensor<6x8xf32>, tensor<8x8xf32>, tensor<6x8xf32>) -> (tensor<6x8xf32>, tensor<6x8xf32>) {
      %49 = jax.dot_general %47, %params.1.0_2 {params = "dimension_numbers=(((1,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<6x8xf32>, tensor<8x8xf32>) -> tensor<6x8xf32>
      %50 = jax.mul %49, %48 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      tessera.schedule.yield %49, %50 : tensor<6x8xf32>, tensor<6x8xf32>
    }
    %51 = tessera.schedule.xla(%52 = %46, %params.0.0_2 = %params.0.0) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general", flops = 192 : i64, bytes = 304 : i64, seconds = 3.040000e-08 : f64} : (tensor<6x8xf32>, tensor<2x8xf32>) -> tensor<6x2xf32> {
      %53 = jax.dot_general %52, %params.0.0_2 {params = "dimension_numbers=(((1,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<6x8xf32>, tensor<2x8xf32>) -> tensor<6x2xf32>
      tessera.schedule.yield %53 : tensor<6x2xf32>
    }
    %54, %55 = tessera.schedule.xla(%56 = %51) {pattern = "unstack", runs = "xla", reason = "no Tessera op in it: jax.unstack", flops = 12 : i64, bytes = 96 : i64, seconds = 9.600000e-09 : f64} : (tensor<6x2xf32>) -> (tensor<6xf32>, tensor<6xf32>) {
      %57, %58 = jax.unstack %56 {params = "axis=1"} : (tensor<6x2xf32>) -> (tensor<6xf32>, tensor<6xf32>)
      tessera.schedule.yield %57, %58 : tensor<6xf32>, tensor<6xf32>
    }
    %59 = tessera.schedule.xla() {pattern = "stack", runs = "xla", reason = "no Tessera op in it: jax.stack", flops = 0 : i64, bytes = 8 : i64, seconds = 8.000000e-10 : f64} : () -> tensor<2xf32> {
      %60 = tessera.graph.constant {value = 1.000000e+00 : f32} : () -> tensor<f32>
      %61 = tessera.graph.constant {value = 0.000000e+00 : f32} : () -> tensor<f32>
      %62 = jax.stack %61, %60 {params = "axis=0"} : (tensor<f32>, tensor<f32>) -> tensor<2xf32>
      tessera.schedule.yield %62 : tensor<2xf32>
    }
    %63, %64 = tessera.schedule.xla(%65 = %59, %params.0.0_3 = %params.0.0, %66 = %45, %67 = %15, %68 = %16) {pattern = "dot_general+mul+mul+mul", runs = "xla", reason = "no Tessera op in it: jax.broadcast_in_dim, jax.dot_general, jax.mul", flops = 176 : i64, bytes = 1064 : i64, seconds = 1.064000e-07 : f64} : (tensor<2xf32>, tensor<2x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>) -> (tensor<6x8xf32>, tensor<6x8xf32>) {
      %69 = jax.dot_general %65, %params.0.0_3 {params = "dimension_numbers=(((0,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<2xf32>, tensor<2x8xf32>) -> tensor<8xf32>
      %70 = jax.broadcast_in_dim %69 {params = "shape=(1, 8) broadcast_dimensions=(np.int64(1),)"} : (tensor<8xf32>) -> tensor<1x8xf32>
      %71 = jax.mul %66, %70 : (tensor<6x8xf32>, tensor<1x8xf32>) -> tensor<6x8xf32>
      %72 = jax.mul %70, %67 : (tensor<1x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %73 = jax.mul %71, %68 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      tessera.schedule.yield %72, %73 : tensor<6x8xf32>, tensor<6x8xf32>
    }
    %74 = tessera.schedule.xla(%75 = %63, %params.1.0_3 = %params.1.0, %76 = %37, %77 = %27, %78 = %26) {pattern = "dot_general+mul+mul+mul", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.mul", flops = 912 : i64, bytes = 1056 : i64, seconds = 1.056000e-07 : f64} : (tensor<6x8xf32>, tensor<8x8xf32>, tensor<1x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32> {
      %79 = jax.dot_general %75, %params.1.0_3 {params = "dimension_numbers=(((1,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<6x8xf32>, tensor<8x8xf32>) -> tensor<6x8xf32>
      %80 = jax.mul %76, %79 : (tensor<1x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %81 = jax.mul %80, %77 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %82 = jax.mul %81, %78 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      tessera.schedule.yield %82 : tensor<6x8xf32>
    }
    %83 = tessera.schedule.xla(%84 = %74, %params.1.0_4 = %params.1.0, %85 = %64, %86 = %15) {pattern = "dot_general+add_any+mul", runs = "xla", reason = "no Tessera op in it: jax.add_any, jax.dot_general, jax.mul", flops = 864 : i64, bytes = 1024 : i64, seconds = 1.024000e-07 : f64} : (tensor<6x8xf32>, tensor<8x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32> {
      %87 = jax.dot_general %84, %params.1.0_4 {params = "dimension_numbers=(((1,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<6x8xf32>, tensor<8x8xf32>) -> tensor<6x8xf32>
      %88 = jax.add_any %87, %85 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %89 = jax.mul %88, %86 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      tessera.schedule.yield %89 : tensor<6x8xf32>
    }
    %90 = tessera.schedule.xla(%91 = %83, %params.0.0_4 = %params.0.0) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general", flops = 192 : i64, bytes = 304 : i64, seconds = 3.040000e-08 : f64} : (tensor<6x8xf32>, tensor<2x8xf32>) -> tensor<6x2xf32> {
      %92 = jax.dot_general %91, %params.0.0_4 {params = "dimension_numbers=(((1,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<6x8xf32>, tensor<2x8xf32>) -> tensor<6x2xf32>
      tessera.schedule.yield %92 : tensor<6x2xf32>
    }
    %93 = tessera.schedule.xla(%94 = %90) {pattern = "unstack", runs = "xla", reason = "no Tessera op in it: jax.unstack", flops = 12 : i64, bytes = 72 : i64, seconds = 7.200000e-09 : f64} : (tensor<6x2xf32>) -> tensor<6xf32> {
      %95, %96 = jax.unstack %94 {params = "axis=1"} : (tensor<6x2xf32>) -> (tensor<6xf32>, tensor<6xf32>)
      tessera.schedule.yield %96 : tensor<6xf32>
    }
    %97 = tessera.schedule.xla(%98 = %33, %99 = %55, %100 = %54) {pattern = "mul+add", runs = "xla", reason = "no Tessera op in it: jax.add, jax.mul", flops = 12 : i64, bytes = 96 : i64, seconds = 9.600000e-09 : f64} : (tensor<6xf32>, tensor<6xf32>, tensor<6xf32>) -> tensor<6xf32> {
      %101 = jax.mul %98, %99 : (tensor<6xf32>, tensor<6xf32>) -> tensor<6xf32>
      %102 = jax.add %100, %101 : (tensor<6xf32>, tensor<6xf32>) -> tensor<6xf32>
      tessera.schedule.yield %102 : tensor<6xf32>
    }
    %103 = tessera.schedule.xla(%104 = %93, %105 = %97) {pattern = "mul+sub+integer_pow+reduce_sum+div", runs = "xla", reason = "no Tessera op in it: jax.div, jax.integer_pow, jax.mul, jax.reduce_sum", flops = 25 : i64, bytes = 52 : i64, seconds = 5.200000e-09 : f64} : (tensor<6xf32>, tensor<6xf32>) -> tensor<f32> {
      %106 = tessera.graph.constant {value = 6.000000e+00 : f32} : () -> tensor<f32>
      %107 = tessera.graph.constant {value = 0.00318309898 : f32} : () -> tensor<f32>
      %108 = jax.mul %107, %104 : (tensor<f32>, tensor<6xf32>) -> tensor<6xf32>
      %109 = jax.sub %105, %108 : (tensor<6xf32>, tensor<6xf32>) -> tensor<6xf32>
      %110 = jax.integer_pow %109 {params = "y=2"} : (tensor<6xf32>) -> tensor<6xf32>
      %111 = jax.reduce_sum %110 {params = "axes=(0,)"} : (tensor<6xf32>) -> tensor<f32>
      %112 = jax.div %111, %106 : (tensor<f32>, tensor<f32>) -> tensor<f32>
      tessera.schedule.yield %112 : tensor<f32>
    }
    %113 = tessera.schedule.xla(%start_1 = %start) {pattern = "stack", runs = "xla", reason = "no Tessera op in it: jax.broadcast_in_dim, jax.stack", flops = 0 : i64, bytes = 36 : i64, seconds = 3.600000e-09 : f64} : (tensor<3xf32>) -> tensor<3x2xf32> {
      %114 = tessera.graph.constant {value = 0.000000e+00 : f32} : () -> tensor<f32>
      %115 = jax.broadcast_in_dim %114 {params = "shape=(3,)"} : (tensor<f32>) -> tensor<3xf32>
      %116 = jax.stack %115, %start_1 {params = "axis=1"} : (tensor<3xf32>, tensor<3xf32>) -> tensor<3x2xf32>
      tessera.schedule.yield %116 : tensor<3x2xf32>
    }
    %117 = tessera.schedule.fuse(%118 = %113, %params.0.0_5 = %params.0.0, %params.0.1_2 = %params.0.1) {pattern = "matmul", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 4, 8>, padded = array<i64: 4, 8>, flops = 144 : i64, bytes = 216 : i64, seconds = 2.160000e-08 : f64} : (tensor<3x2xf32>, tensor<2x8xf32>, tensor<8xf32>) -> tensor<3x8xf32> {
      %119 = tessera.graph.matmul %118, %params.0.0_5, %params.0.1_2 {present = [true, true, true, false], activation = "tanh", accumulate = "float32"} : (tensor<3x2xf32>, tensor<2x8xf32>, tensor<8xf32>) -> tensor<3x8xf32>
      tessera.schedule.yield %119 : tensor<3x8xf32>
    }
    %120 = tessera.schedule.fuse(%121 = %117, %params.1.0_5 = %params.1.0, %params.1.1_2 = %params.1.1) {pattern = "matmul", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 4, 8>, padded = array<i64: 4, 8>, flops = 432 : i64, bytes = 480 : i64, seconds = 4.800000e-08 : f64} : (tensor<3x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<3x8xf32> {
      %122 = tessera.graph.matmul %121, %params.1.0_5, %params.1.1_2 {present = [true, true, true, false], activation = "tanh", accumulate = "float32"} : (tensor<3x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<3x8xf32>
      tessera.schedule.yield %122 : tensor<3x8xf32>
    }
    %123 = tessera.schedule.fuse(%124 = %120, %params.2.0_3 = %params.2.0, %params.2.1_2 = %params.2.1, %start_2 = %start) {pattern = "matmul+mul+sin+add+integer_pow", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 4, 1>, padded = array<i64: 4, 1>, flops = 63 : i64, bytes = 168 : i64, seconds = 1.680000e-08 : f64} : (tensor<3x8xf32>, tensor<8x1xf32>, tensor<1xf32>, tensor<3xf32>) -> tensor<3xf32> {
      %125 = tessera.graph.constant {value = 3.14159274 : f32} : () -> tensor<f32>
      %126 = tessera.graph.matmul %124, %params.2.0_3, %params.2.1_2 {present = [true, true, true, false], accumulate = "float32"} : (tensor<3x8xf32>, tensor<8x1xf32>, tensor<1xf32>) -> tensor<3x1xf32>
      %127 = jax.squeeze %126 {params = "dimensions=(1,)"} : (tensor<3x1xf32>) -> tensor<3xf32>
      %128 = jax.mul %125, %start_2 : (tensor<f32>, tensor<3xf32>) -> tensor<3xf32>
      %129 = jax.sin %128 : (tensor<3xf32>) -> tensor<3xf32>
      %130 = jax.add %127, %129 : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
      %131 = jax.integer_pow %130 {params = "y=2"} : (tensor<3xf32>) -> tensor<3xf32>
      tessera.schedule.yield %131 : tensor<3xf32>
    }
    %132 = tessera.schedule.xla(%133 = %123, %134 = %103) {pattern = "reduce_sum+div+add", runs = "xla", reason = "no Tessera op in it: jax.add, jax.div, jax.reduce_sum", flops = 5 : i64, bytes = 20 : i64, seconds = 2.000000e-09 : f64} : (tensor<3xf32>, tensor<f32>) -> tensor<f32> {
      %135 = tessera.graph.constant {value = 3.000000e+00 : f32} : () -> tensor<f32>
      %136 = jax.reduce_sum %133 {params = "axes=(0,)"} : (tensor<3xf32>) -> tensor<f32>
      %137 = jax.div %136, %135 : (tensor<f32>, tensor<f32>) -> tensor<f32>
      %138 = jax.add %134, %137 : (tensor<f32>, tensor<f32>) -> tensor<f32>
      tessera.schedule.yield %138 : tensor<f32>
    }
    tessera.graph.return %132 : tensor<f32>
  }
}
