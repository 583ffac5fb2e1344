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
    %14, %15 = tessera.schedule.xla(%16 = %10, %params.0.0_1 = %params.0.0, %params.0.1_1 = %params.0.1) {pattern = "dot_general+add+tanh+sub", runs = "xla", reason = "no Tessera op in it: jax.add, jax.broadcast_in_dim, jax.dot_general, jax.sub", flops = 336 : i64, bytes = 528 : i64, seconds = 5.280000e-08 : f64} : (tensor<2x6xf32>, tensor<2x8xf32>, tensor<8xf32>) -> (tensor<6x8xf32>, tensor<6x8xf32>) {
      %17 = tessera.graph.constant {value = 1.000000e+00 : f32} : () -> tensor<f32>
      %18 = jax.dot_general %16, %params.0.0_1 {params = "dimension_numbers=(((0,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<2x6xf32>, tensor<2x8xf32>) -> tensor<6x8xf32>
      %19 = jax.broadcast_in_dim %params.0.1_1 {params = "shape=(1, 8) broadcast_dimensions=(np.int64(1),)"} : (tensor<8xf32>) -> tensor<1x8xf32>
      %20 = jax.add %18, %19 : (tensor<6x8xf32>, tensor<1x8xf32>) -> tensor<6x8xf32>
      %21 = jax.tanh %20 : (tensor<6x8xf32>) -> tensor<6x8xf32>
      %22 = jax.sub %17, %21 : (tensor<f32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      tessera.schedule.yield %21, %22 : tensor<6x8xf32>, tensor<6x8xf32>
    }
    %23, %24 = tessera.schedule.fuse(%25 = %14, %params.1.0_1 = %params.1.0, %params.1.1_1 = %params.1.1) {pattern = "matmul+sub", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 8>, padded = array<i64: 8, 8>, flops = 912 : i64, bytes = 1056 : i64, seconds = 1.056000e-07 : f64} : (tensor<6x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> (tensor<6x8xf32>, tensor<6x8xf32>) {
      %26 = tessera.graph.constant {value = 1.000000e+00 : f32} : () -> tensor<f32>
      %27 = tessera.graph.matmul %25, %params.1.0_1, %params.1.1_1 {present = [true, true, true, false], activation = "tanh", accumulate = "float32"} : (tensor<6x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<6x8xf32>
      %28 = jax.sub %26, %27 : (tensor<f32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      tessera.schedule.yield %27, %28 : tensor<6x8xf32>, tensor<6x8xf32>
    }
    %29 = tessera.schedule.fuse(%30 = %23, %params.2.0_1 = %params.2.0, %params.2.1_1 = %params.2.1) {pattern = "matmul", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 8, 1>, padded = array<i64: 8, 1>, flops = 102 : i64, bytes = 276 : i64, seconds = 2.760000e-08 : f64} : (tensor<6x8xf32>, tensor<8x1xf32>, tensor<1xf32>) -> tensor<6xf32> {
      %31 = tessera.graph.matmul %30, %params.2.0_1, %params.2.1_1 {present = [true, true, true, false], accumulate = "float32"} : (tensor<6x8xf32>, tensor<8x1xf32>, tensor<1xf32>) -> tensor<6x1xf32>
      %32 = jax.squeeze %31 {params = "dimensions=(1,)"} : (tensor<6x1xf32>) -> tensor<6xf32>
      tessera.schedule.yield %32 : tensor<6xf32>
    }
    %33, %34, %35 = tessera.schedule.xla(%params.2.0_2 = %params.2.0, %36 = %24, %37 = %23) {pattern = "dot_general+mul+mul+add_any", runs = "xla", reason = "no Tessera op in it: jax.add_any, jax.broadcast_in_dim, jax.dot_general, jax.mul", flops = 160 : i64, bytes = 832 : i64, seconds = 8.320000e-08 : f64} : (tensor<8x1xf32>, tensor<6x8xf32>, tensor<6x8xf32>) -> (tensor<1x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>) {
      %38 = tessera.graph.constant {value = 1.000000e+00 : f32} : () -> tensor<f32>
      %39 = jax.broadcast_in_dim %38 {params = "shape=(1,)"} : (tensor<f32>) -> tensor<1xf32>
      %40 = jax.dot_general %39, %params.2.0_2 {params = "dimension_numbers=(((0,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<1xf32>, tensor<8x1xf32>) -> tensor<8xf32>
      %41 = jax.broadcast_in_dim %40 {params = "shape=(1, 8) broadcast_dimensions=(np.int64(1),)"} : (tensor<8xf32>) -> tensor<1x8xf32>
      %42 = jax.mul %41, %36 : (tensor<1x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %43 = jax.mul %42, %37 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %44 = jax.add_any %42, %43 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      tessera.schedule.yield %41, %42, %44 : tensor<1x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>
    }
    %45, %46, %47 = tessera.schedule.xla(%48 = %35, %params.1.0_2 = %params.1.0, %49 = %15, %50 = %14) {pattern = "dot_general+mul+mul+add_any", runs = "xla", reason = "no Tessera op in it: jax.add_any, jax.dot_general, jax.mul", flops = 912 : i64, bytes = 1408 : i64, seconds = 1.408000e-07 : f64} : (tensor<6x8xf32>, tensor<8x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>) -> (tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>) {
      %51 = jax.dot_general %48, %params.1.0_2 {params = "dimension_numbers=(((1,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<6x8xf32>, tensor<8x8xf32>) -> tensor<6x8xf32>
      %52 = jax.mul %51, %49 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %53 = jax.mul %52, %50 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %54 = jax.add_any %52, %53 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      tessera.schedule.yield %51, %52, %54 : tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>
    }
    %55 = tessera.schedule.xla(%56 = %47, %params.0.0_2 = %params.0.0) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general", flops = 192 : i64, bytes = 304 : i64, seconds = 3.040000e-08 : f64} : (tensor<6x8xf32>, tensor<2x8xf32>) -> tensor<6x2xf32> {
      %57 = jax.dot_general %56, %params.0.0_2 {params = "dimension_numbers=(((1,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<6x8xf32>, tensor<2x8xf32>) -> tensor<6x2xf32>
      tessera.schedule.yield %57 : tensor<6x2xf32>
    }
    %58, %59 = tessera.schedule.xla(%60 = %55) {pattern = "unstack", runs = "xla", reason = "no Tessera op in it: jax.unstack", flops = 12 : i64, bytes = 96 : i64, seconds = 9.600000e-09 : f64} : (tensor<6x2xf32>) -> (tensor<6xf32>, tensor<6xf32>) {
      %61, %62 = jax.unstack %60 {params = "axis=1"} : (tensor<6x2xf32>) -> (tensor<6xf32>, tensor<6xf32>)
      tessera.schedule.yield %61, %62 : tensor<6xf32>, tensor<6xf32>
    }
    %63 = tessera.schedule.xla() {pattern = "stack", runs = "xla", reason = "no Tessera op in it: jax.stack", flops = 0 : i64, bytes = 8 : i64, seconds = 8.000000e-10 : f64} : () -> tensor<2xf32> {
      %64 = tessera.graph.constant {value = 1.000000e+00 : f32} : () -> tensor<f32>
      %65 = tessera.graph.constant {value = 0.000000e+00 : f32} : () -> tensor<f32>
      %66 = jax.stack %65, %64 {params = "axis=0"} : (tensor<f32>, tensor<f32>) -> tensor<2xf32>
      tessera.schedule.yield %66 : tensor<2xf32>
    }
    %67, %68, %69 = tessera.schedule.xla(%70 = %63, %params.0.0_3 = %params.0.0, %71 = %46, %72 = %14, %73 = %45, %74 = %15) {pattern = "dot_general+mul+mul+2 more+mul+neg", runs = "xla", reason = "no Tessera op in it: jax.add_any, jax.broadcast_in_dim, jax.dot_general, jax.mul", flops = 320 : i64, bytes = 1448 : i64, seconds = 1.448000e-07 : f64} : (tensor<2xf32>, tensor<2x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>) -> (tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>) {
      %75 = jax.dot_general %70, %params.0.0_3 {params = "dimension_numbers=(((0,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<2xf32>, tensor<2x8xf32>) -> tensor<8xf32>
      %76 = jax.broadcast_in_dim %75 {params = "shape=(1, 8) broadcast_dimensions=(np.int64(1),)"} : (tensor<8xf32>) -> tensor<1x8xf32>
      %77 = jax.mul %71, %76 : (tensor<6x8xf32>, tensor<1x8xf32>) -> tensor<6x8xf32>
      %78 = jax.mul %76, %72 : (tensor<1x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %79 = jax.broadcast_in_dim %75 {params = "shape=(6, 8) broadcast_dimensions=(np.int64(1),)"} : (tensor<8xf32>) -> tensor<6x8xf32>
      %80 = jax.add_any %79, %78 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %81 = jax.mul %73, %80 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %82 = jax.mul %80, %74 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %83 = jax.neg %81 : (tensor<6x8xf32>) -> tensor<6x8xf32>
      tessera.schedule.yield %77, %82, %83 : tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>
    }
    %84 = tessera.schedule.xla(%85 = %68, %params.1.0_3 = %params.1.0, %86 = %34, %87 = %23, %88 = %33, %89 = %24) {pattern = "dot_general+mul+mul+5 more+mul+add_any", runs = "xla", reason = "no Tessera op in it: jax.add_any, jax.dot_general, jax.mul, jax.neg", flops = 1200 : i64, bytes = 1248 : i64, seconds = 1.248000e-07 : f64} : (tensor<6x8xf32>, tensor<8x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>, tensor<1x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32> {
      %90 = jax.dot_general %85, %params.1.0_3 {params = "dimension_numbers=(((1,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<6x8xf32>, tensor<8x8xf32>) -> tensor<6x8xf32>
      %91 = jax.mul %86, %90 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %92 = jax.mul %90, %87 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %93 = jax.add_any %90, %92 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %94 = jax.mul %88, %93 : (tensor<1x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %95 = jax.neg %94 : (tensor<6x8xf32>) -> tensor<6x8xf32>
      %96 = jax.add_any %91, %95 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %97 = jax.mul %96, %89 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %98 = jax.mul %97, %87 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %99 = jax.add_any %97, %98 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      tessera.schedule.yield %99 : tensor<6x8xf32>
    }
    %100 = tessera.schedule.xla(%101 = %84, %params.1.0_4 = %params.1.0, %102 = %67, %103 = %69, %104 = %15, %105 = %14) {pattern = "dot_general+add_any+add_any+mul+mul+add_any", runs = "xla", reason = "no Tessera op in it: jax.add_any, jax.dot_general, jax.mul", flops = 1008 : i64, bytes = 1408 : i64, seconds = 1.408000e-07 : f64} : (tensor<6x8xf32>, tensor<8x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32> {
      %106 = jax.dot_general %101, %params.1.0_4 {params = "dimension_numbers=(((1,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<6x8xf32>, tensor<8x8xf32>) -> tensor<6x8xf32>
      %107 = jax.add_any %102, %106 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %108 = jax.add_any %107, %103 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %109 = jax.mul %108, %104 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %110 = jax.mul %109, %105 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      %111 = jax.add_any %109, %110 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x8xf32>
      tessera.schedule.yield %111 : tensor<6x8xf32>
    }
    %112 = tessera.schedule.xla(%113 = %100, %params.0.0_4 = %params.0.0) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general", flops = 192 : i64, bytes = 304 : i64, seconds = 3.040000e-08 : f64} : (tensor<6x8xf32>, tensor<2x8xf32>) -> tensor<6x2xf32> {
      %114 = jax.dot_general %113, %params.0.0_4 {params = "dimension_numbers=(((1,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<6x8xf32>, tensor<2x8xf32>) -> tensor<6x2xf32>
      tessera.schedule.yield %114 : tensor<6x2xf32>
    }
    %115 = tessera.schedule.xla(%116 = %112) {pattern = "unstack", runs = "xla", reason = "no Tessera op in it: jax.unstack", flops = 12 : i64, bytes = 72 : i64, seconds = 7.200000e-09 : f64} : (tensor<6x2xf32>) -> tensor<6xf32> {
      %117, %118 = jax.unstack %116 {params = "axis=1"} : (tensor<6x2xf32>) -> (tensor<6xf32>, tensor<6xf32>)
      tessera.schedule.yield %118 : tensor<6xf32>
    }
    %119 = tessera.schedule.xla(%120 = %29, %121 = %59, %122 = %58) {pattern = "mul+add", runs = "xla", reason = "no Tessera op in it: jax.add, jax.mul", flops = 12 : i64, bytes = 96 : i64, seconds = 9.600000e-09 : f64} : (tensor<6xf32>, tensor<6xf32>, tensor<6xf32>) -> tensor<6xf32> {
      %123 = jax.mul %120, %121 : (tensor<6xf32>, tensor<6xf32>) -> tensor<6xf32>
      %124 = jax.add %122, %123 : (tensor<6xf32>, tensor<6xf32>) -> tensor<6xf32>
      tessera.schedule.yield %124 : tensor<6xf32>
    }
    %125 = tessera.schedule.xla(%126 = %115, %127 = %119) {pattern = "mul+sub+integer_pow+reduce_sum+div", runs = "xla", reason = "no Tessera op in it: jax.div, jax.integer_pow, jax.mul, jax.reduce_sum", flops = 25 : i64, bytes = 52 : i64, seconds = 5.200000e-09 : f64} : (tensor<6xf32>, tensor<6xf32>) -> tensor<f32> {
      %128 = tessera.graph.constant {value = 6.000000e+00 : f32} : () -> tensor<f32>
      %129 = tessera.graph.constant {value = 0.00318309898 : f32} : () -> tensor<f32>
      %130 = jax.mul %129, %126 : (tensor<f32>, tensor<6xf32>) -> tensor<6xf32>
      %131 = jax.sub %127, %130 : (tensor<6xf32>, tensor<6xf32>) -> tensor<6xf32>
      %132 = jax.integer_pow %131 {params = "y=2"} : (tensor<6xf32>) -> tensor<6xf32>
      %133 = jax.reduce_sum %132 {params = "axes=(0,)"} : (tensor<6xf32>) -> tensor<f32>
      %134 = jax.div %133, %128 : (tensor<f32>, tensor<f32>) -> tensor<f32>
      tessera.schedule.yield %134 : tensor<f32>
    }
    %135 = tessera.schedule.xla(%start_1 = %start) {pattern = "stack", runs = "xla", reason = "no Tessera op in it: jax.broadcast_in_dim, jax.stack", flops = 0 : i64, bytes = 36 : i64, seconds = 3.600000e-09 : f64} : (tensor<3xf32>) -> tensor<3x2xf32> {
      %136 = tessera.graph.constant {value = 0.000000e+00 : f32} : () -> tensor<f32>
      %137 = jax.broadcast_in_dim %136 {params = "shape=(3,)"} : (tensor<f32>) -> tensor<3xf32>
      %138 = jax.stack %137, %start_1 {params = "axis=1"} : (tensor<3xf32>, tensor<3xf32>) -> tensor<3x2xf32>
      tessera.schedule.yield %138 : tensor<3x2xf32>
    }
    %139 = tessera.schedule.fuse(%140 = %135, %params.0.0_5 = %params.0.0, %params.0.1_2 = %params.0.1) {pattern = "matmul", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 4, 8>, padded = array<i64: 4, 8>, flops = 144 : i64, bytes = 216 : i64, seconds = 2.160000e-08 : f64} : (tensor<3x2xf32>, tensor<2x8xf32>, tensor<8xf32>) -> tensor<3x8xf32> {
      %141 = tessera.graph.matmul %140, %params.0.0_5, %params.0.1_2 {present = [true, true, true, false], activation = "tanh", accumulate = "float32"} : (tensor<3x2xf32>, tensor<2x8xf32>, tensor<8xf32>) -> tensor<3x8xf32>
      tessera.schedule.yield %141 : tensor<3x8xf32>
    }
    %142 = tessera.schedule.fuse(%143 = %139, %params.1.0_5 = %params.1.0, %params.1.1_2 = %params.1.1) {pattern = "matmul", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 4, 8>, padded = array<i64: 4, 8>, flops = 432 : i64, bytes = 480 : i64, seconds = 4.800000e-08 : f64} : (tensor<3x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<3x8xf32> {
      %144 = tessera.graph.matmul %143, %params.1.0_5, %params.1.1_2 {present = [true, true, true, false], activation = "tanh", accumulate = "float32"} : (tensor<3x8xf32>, tensor<8x8xf32>, tensor<8xf32>) -> tensor<3x8xf32>
      tessera.schedule.yield %144 : tensor<3x8xf32>
    }
    %145 = tessera.schedule.fuse(%146 = %142, %params.2.0_3 = %params.2.0, %params.2.1_2 = %params.2.1, %start_2 = %start) {pattern = "matmul+mul+sin+add+integer_pow", runs = "xla", reason = "XLA's own lowering of matmul is the fastest known", tile = array<i64: 4, 1>, padded = array<i64: 4, 1>, flops = 63 : i64, bytes = 168 : i64, seconds = 1.680000e-08 : f64} : (tensor<3x8xf32>, tensor<8x1xf32>, tensor<1xf32>, tensor<3xf32>) -> tensor<3xf32> {
      %147 = tessera.graph.constant {value = 3.14159274 : f32} : () -> tensor<f32>
      %148 = tessera.graph.matmul %146, %params.2.0_3, %params.2.1_2 {present = [true, true, true, false], accumulate = "float32"} : (tensor<3x8xf32>, tensor<8x1xf32>, tensor<1xf32>) -> tensor<3x1xf32>
      %149 = jax.squeeze %148 {params = "dimensions=(1,)"} : (tensor<3x1xf32>) -> tensor<3xf32>
      %150 = jax.mul %147, %start_2 : (tensor<f32>, tensor<3xf32>) -> tensor<3xf32>
      %151 = jax.sin %150 : (tensor<3xf32>) -> tensor<3xf32>
      %152 = jax.add %149, %151 : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
      %153 = jax.integer_pow %152 {params = "y=2"} : (tensor<3xf32>) -> tensor<3xf32>
      tessera.schedule.yield %153 : tensor<3xf32>
    }
    %154 = tessera.schedule.xla(%155 = %145, %156 = %125) {pattern = "reduce_sum+div+add", runs = "xla", reason = "no Tessera op in it: jax.add, jax.div, jax.reduce_sum", flops = 5 : i64, bytes = 20 : i64, seconds = 2.000000e-09 : f64} : (tensor<3xf32>, tensor<f32>) -> tensor<f32> {
      %157 = tessera.graph.constant {value = 3.000000e+00 : f32} : () -> tensor<f32>
      %158 = jax.reduce_sum %155 {params = "axes=(0,)"} : (tensor<3xf32>) -> tensor<f32>
      %159 = jax.div %158, %157 : (tensor<f32>, tensor<f32>) -> tensor<f32>
      %160 = jax.add %156, %159 : (tensor<f32>, tensor<f32>) -> tensor<f32>
      tessera.schedule.yield %160 : tensor<f32>
    }
    tessera.graph.return %154 : tensor<f32>
  }
}
