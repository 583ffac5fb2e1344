module @f attributes {level = "graph"} {
  tessera.graph.func @f(%x: tensor<3x4xf32>) -> tensor<3x4xf32> {
    %0 = jax.cos %x : (tensor<3x4xf32>) -> tensor<3x4xf32>
    %1 = jax.exp %x : (tensor<3x4xf32>) -> tensor<3x4xf32>
    %2 = jax.add %1, %1 : (tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<3x4xf32>
    tessera.graph.return %2 : tensor<3x4xf32>
  }
}
