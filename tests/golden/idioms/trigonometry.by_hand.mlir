builtin.module attributes {level = "graph", sym_name = "main"} {
  "tessera.graph.func"() ({
  ^bb0(%x: tensor<128x128xf32>):
    %0 = "tessera.graph.sin"(%x) : (tensor<128x128xf32>) -> tensor<128x128xf32>
    %1 = "tessera.graph.cos"(%x) : (tensor<128x128xf32>) -> tensor<128x128xf32>
    %2 = "tessera.graph.constant"() {value = 2.000000e+00 : f32} : () -> tensor<f32>
    %3 = "jax.mul"(%2, %1) : (tensor<f32>, tensor<128x128xf32>) -> tensor<128x128xf32>
    %4 = "jax.add"(%0, %3) : (tensor<128x128xf32>, tensor<128x128xf32>) -> tensor<128x128xf32>
    "tessera.graph.return"(%4) : (tensor<128x128xf32>) -> ()
  }) {sym_name = "main", function_type = (tensor<128x128xf32>) -> tensor<128x128xf32>} : () -> ()
}
