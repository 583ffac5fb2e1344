builtin.module attributes {level = "graph", sym_name = "main"} {
  "tessera.graph.func"() ({
  ^bb0(%x: tensor<3x4x5xf32>):
    %0 = "tessera.graph.softmax"(%x) {axis = 2 : i64, stable = true} : (tensor<3x4x5xf32>) -> tensor<3x4x5xf32>
    "tessera.graph.return"(%0) : (tensor<3x4x5xf32>) -> ()
  }) {sym_name = "main", function_type = (tensor<3x4x5xf32>) -> tensor<3x4x5xf32>} : () -> ()
}
