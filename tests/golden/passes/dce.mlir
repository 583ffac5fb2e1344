module @f attributes {level = "graph"} {
  tessera.graph.func @f(%x: tensor<3x4xf32>) -> tensor<3x4xf32> {
    %0 = jax.exp %x : (tensor<3x4xf32>) -> tensor<3x4xf32>
    %1 = jax.add %0, %0 : (tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<3x4xf32>
    tessera.graph.return %1 : tensor<3x4xf32>
  }
}
