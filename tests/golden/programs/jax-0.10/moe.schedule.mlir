module @loss attributes {level = "schedule"} {
  tessera.graph.func @loss(%params.down: tensor<4x16x8xf32>, %params.router: tensor<8x4xf32>, %params.up: tensor<4x8x16xf32>, %x: tensor<12x8xf32>, %target: tensor<12x8xf32>) -> tensor<f32> {
    %0 = tessera.schedule.xla(%x_1 = %x, %params.router_1 = %params.router) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general", flops = 768 : i64, bytes = 704 : i64, seconds = 7.040000e-08 : f64} : (tensor<12x8xf32>, tensor<8x4xf32>) -> tensor<12x4xf32> {
      %1 = jax.dot_general %x_1, %params.router_1 {params = "dimension_numbers=(((1,), (0,)), ((), ())) preferred_element_type=float32"} : (tensor<12x8xf32>, tensor<8x4xf32>) -> tensor<12x4xf32>
      tessera.schedule.yield %1 : tensor<12x4xf32>
    }
    %2 = tessera.schedule.fuse(%3 = %0) {pattern = "softmax", runs = "xla", reason = "XLA's own lowering of softmax is the fastest known", tile = array<i64: 16, 4>, padded = array<i64: 16, 4>, flops = 252 : i64, bytes = 384 : i64, seconds = 3.840000e-08 : f64} : (tensor<12x4xf32>) -> tensor<12x4xf32> {
      %4 = tessera.graph.softmax %3 {axis = 1 : i64, stable = true} : (tensor<12x4xf32>) -> tensor<12x4xf32>
      tessera.schedule.yield %4 : tensor<12x4xf32>
    }
    %5, %6 = tessera.schedule.xla(%7 = %2) {pattern = "top_k", runs = "xla", reason = "no Tessera op in it: jax.top_k", flops = 48 : i64, bytes = 384 : i64, seconds = 3.840000e-08 : f64} : (tensor<12x4xf32>) -> (tensor<12x2xf32>, tensor<12x2xi32>) {
      %8, %9 = jax.top_k %7 {params = "k=2 axis=1"} : (tensor<12x4xf32>) -> (tensor<12x2xf32>, tensor<12x2xi32>)
      tessera.schedule.yield %8, %9 : tensor<12x2xf32>, tensor<12x2xi32>
    }
    %10 = tessera.schedule.xla(%11 = %5) {pattern = "reduce_sum+div", runs = "xla", reason = "no Tessera op in it: jax.broadcast_in_dim, jax.div, jax.reduce_sum", flops = 48 : i64, bytes = 192 : i64, seconds = 1.920000e-08 : f64} : (tensor<12x2xf32>) -> tensor<12x2xf32> {
      %12 = jax.reduce_sum %11 {params = "axes=(1,)"} : (tensor<12x2xf32>) -> tensor<12xf32>
      %13 = jax.broadcast_in_dim %12 {params = "shape=(12, 1) broadcast_dimensions=(0,)"} : (tensor<12xf32>) -> tensor<12x1xf32>
      %14 = jax.div %11, %13 : (tensor<12x2xf32>, tensor<12x1xf32>) -> tensor<12x2xf32>
      tessera.schedule.yield %14 : tensor<12x2xf32>
    }
    %15 = tessera.schedule.xla(%16 = %6) {pattern = "eq+convert_element_type", runs = "xla", reason = "no Tessera op in it: jax.broadcast_in_dim, jax.convert_element_type, jax.eq, jax.iota", flops = 96 : i64, bytes = 480 : i64, seconds = 4.800000e-08 : f64} : (tensor<12x2xi32>) -> tensor<12x2x4xf32> {
      %17 = jax.broadcast_in_dim %16 {params = "shape=(12, 2, 1) broadcast_dimensions=(0, 1)"} : (tensor<12x2xi32>) -> tensor<12x2x1xi32>
      %18 = jax.iota {params = "dtype=int32 shape=(1, 1, 4) dimension=2"} : () -> tensor<1x1x4xi32>
      %19 = jax.eq %17, %18 : (tensor<12x2x1xi32>, tensor<1x1x4xi32>) -> tensor<12x2x4xi1>
      %20 = jax.convert_element_type %19 {params = "new_dtype=float32"} : (tensor<12x2x4xi1>) -> tensor<12x2x4xf32>
      tessera.schedule.yield %20 : tensor<12x2x4xf32>
    }
    %21 = tessera.schedule.xla(%22 = %10, %23 = %15) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general", flops = 192 : i64, bytes = 672 : i64, seconds = 6.720000e-08 : f64} : (tensor<12x2xf32>, tensor<12x2x4xf32>) -> tensor<12x4xf32> {
      %24 = jax.dot_general %22, %23 {params = "dimension_numbers=(((1,), (1,)), ((0,), (0,))) preferred_element_type=float32"} : (tensor<12x2xf32>, tensor<12x2x4xf32>) -> tensor<12x4xf32>
      tessera.schedule.yield %24 : tensor<12x4xf32>
    }
    %25 = tessera.schedule.fuse(%x_2 = %x, %params.up_1 = %params.up) {pattern = "dot_general+gelu", runs = "xla", reason = "XLA's own lowering of gelu is the fastest known", tile = array<i64: 16, 1, 16>, padded = array<i64: 16, 4, 16>, flops = 18432 : i64, bytes = 8576 : i64, seconds = 8.576000e-07 : f64} : (tensor<12x8xf32>, tensor<4x8x16xf32>) -> tensor<12x4x16xf32> {
      %26 = jax.dot_general %x_2, %params.up_1 {params = "dimension_numbers=(((1,), (1,)), ((), ())) preferred_element_type=float32"} : (tensor<12x8xf32>, tensor<4x8x16xf32>) -> tensor<12x4x16xf32>
      %27 = tessera.graph.gelu %26 {approximate = true} : (tensor<12x4x16xf32>) -> tensor<12x4x16xf32>
      tessera.schedule.yield %27 : tensor<12x4x16xf32>
    }
    %28 = tessera.schedule.xla(%params.down_1 = %params.down, %29 = %25) {pattern = "dot_general", runs = "xla", reason = "no Tessera op in it: jax.dot_general, jax.transpose", flops = 12288 : i64, bytes = 6656 : i64, seconds = 6.656000e-07 : f64} : (tensor<4x16x8xf32>, tensor<12x4x16xf32>) -> tensor<12x4x8xf32> {
      %30 = jax.dot_general %params.down_1, %29 {params = "dimension_numbers=(((1,), (2,)), ((0,), (1,))) preferred_element_type=float32"} : (tensor<4x16x8xf32>, tensor<12x4x16xf32>) -> tensor<4x8x12xf32>
      %31 = jax.transpose %30 {params = "permutation=(2, 0, 1)"} : (tensor<4x8x12xf32>) -> tensor<12x4x8xf32>
      tessera.schedule.yield %31 : tensor<12x4x8xf32>
    }
    %32 = tessera.schedule.xla(%33 = %21, %34 = %28, %x_3 = %x, %target_1 = %target) {pattern = "dot_general+add+sub+integer_pow", runs = "xla", reason = "no Tessera op in it: jax.add, jax.dot_general, jax.integer_pow, jax.sub", flops = 1056 : i64, bytes = 2880 : i64, seconds = 2.880000e-07 : f64} : (tensor<12x4xf32>, tensor<12x4x8xf32>, tensor<12x8xf32>, tensor<12x8xf32>) -> tensor<12x8xf32> {
      %35 = jax.dot_general %33, %34 {params = "dimension_numbers=(((1,), (1,)), ((0,), (0,))) preferred_element_type=float32"} : (tensor<12x4xf32>, tensor<12x4x8xf32>) -> tensor<12x8xf32>
      %36 = jax.add %x_3, %35 : (tensor<12x8xf32>, tensor<12x8xf32>) -> tensor<12x8xf32>
      %37 = jax.sub %36, %target_1 : (tensor<12x8xf32>, tensor<12x8xf32>) -> tensor<12x8xf32>
      %38 = jax.integer_pow %37 {params = "y=2"} : (tensor<12x8xf32>) -> tensor<12x8xf32>
      tessera.schedule.yield %38 : tensor<12x8xf32>
    }
    %39 = tessera.schedule.xla(%40 = %15) {pattern = "reduce_sum", runs = "xla", reason = "no Tessera op in it: jax.reduce_sum", flops = 96 : i64, bytes = 576 : i64, seconds = 5.760000e-08 : f64} : (tensor<12x2x4xf32>) -> tensor<12x4xf32> {
      %41 = jax.reduce_sum %40 {params = "axes=(1,)"} : (tensor<12x2x4xf32>) -> tensor<12x4xf32>
      tessera.schedule.yield %41 : tensor<12x4xf32>
    }
    %42 = tessera.schedule.xla(%43 = %39) {pattern = "reduce_sum+div", runs = "xla", reason = "no Tessera op in it: jax.div, jax.reduce_sum", flops = 52 : i64, bytes = 208 : i64, seconds = 2.080000e-08 : f64} : (tensor<12x4xf32>) -> tensor<4xf32> {
      %44 = tessera.graph.constant {value = 1.200000e+01 : f32} : () -> tensor<f32>
      %45 = jax.reduce_sum %43 {params = "axes=(0,)"} : (tensor<12x4xf32>) -> tensor<4xf32>
      %46 = jax.div %45, %44 : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
      tessera.schedule.yield %46 : tensor<4xf32>
    }
    %47 = tessera.schedule.xla(%48 = %2, %49 = %42) {pattern = "reduce_sum+div+mul", runs = "xla", reason = "no Tessera op in it: jax.div, jax.mul, jax.reduce_sum", flops = 56 : i64, bytes = 224 : i64, seconds = 2.240000e-08 : f64} : (tensor<12x4xf32>, tensor<4xf32>) -> tensor<4xf32> {
      %50 = tessera.graph.constant {value = 1.200000e+01 : f32} : () -> tensor<f32>
      %51 = jax.reduce_sum %48 {params = "axes=(0,)"} : (tensor<12x4xf32>) -> tensor<4xf32>
      %52 = jax.div %51, %50 : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
      %53 = jax.mul %49, %52 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
      tessera.schedule.yield %53 : tensor<4xf32>
    }
    %54 = tessera.schedule.xla(%55 = %32) {pattern = "reduce_sum+div", runs = "xla", reason = "no Tessera op in it: jax.div, jax.reduce_sum", flops = 97 : i64, bytes = 388 : i64, seconds = 3.880000e-08 : f64} : (tensor<12x8xf32>) -> tensor<f32> {
      %56 = tessera.graph.constant {value = 9.600000e+01 : f32} : () -> tensor<f32>
      %57 = jax.reduce_sum %55 {params = "axes=(0, 1)"} : (tensor<12x8xf32>) -> tensor<f32>
      %58 = jax.div %57, %56 : (tensor<f32>, tensor<f32>) -> tensor<f32>
      tessera.schedule.yield %58 : tensor<f32>
    }
    %59 = tessera.schedule.xla(%60 = %47, %61 = %54) {pattern = "reduce_sum+mul+add", runs = "xla", reason = "no Tessera op in it: jax.add, jax.mul, jax.reduce_sum", flops = 6 : i64, bytes = 24 : i64, seconds = 2.400000e-09 : f64} : (tensor<4xf32>, tensor<f32>) -> tensor<f32> {
      %62 = tessera.graph.constant {value = 4.000000e-02 : f32} : () -> tensor<f32>
      %63 = jax.reduce_sum %60 {params = "axes=(0,)"} : (tensor<4xf32>) -> tensor<f32>
      %64 = jax.mul %62, %63 : (tensor<f32>, tensor<f32>) -> tensor<f32>
      %65 = jax.add %61, %64 : (tensor<f32>, tensor<f32>) -> tensor<f32>
      tessera.schedule.yield %65 : tensor<f32>
    }
    tessera.graph.return %59 : tensor<f32>
  }
}
