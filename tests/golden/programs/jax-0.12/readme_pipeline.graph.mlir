module @pipeline attributes {level = "graph"} {
  tessera.graph.func @pipeline(%x: tensor<1024x1024xf32>) -> tensor<1024x1024xf32> {
    %0 = jax.transpose %x {params = "permutation=(1, 0)"} : (tensor<1024x1024xf32>) -> tensor<1024x1024xf32>
    %1 = tessera.graph.matmul %x, %0 {present = [true, true, false, false], activation = "relu", accumulate = "float32"} : (tensor<1024x1024xf32>, tensor<1024x1024xf32>) -> tensor<1024x1024xf32>
    %2 = tessera.graph.layernorm %1 {present = [true, false, false], eps = 1.000000e-05 : f64} : (tensor<1024x1024xf32>) -> tensor<1024x1024xf32>
    tessera.graph.return %2 : tensor<1024x1024xf32>
  }
}
