module @dense attributes {level = "graph"} {
  tessera.graph.func @dense(%x: tensor<32x64xf32>, %w: tensor<64x16xf32>, %b: tensor<16xf32>) -> tensor<32x16xf32> {
    %0 = tessera.graph.matmul %x, %w, %b {present = [true, true, true, false], activation = "relu", accumulate = "float32"} : (tensor<32x64xf32>, tensor<64x16xf32>, tensor<16xf32>) -> tensor<32x16xf32>
    tessera.graph.return %0 : tensor<32x16xf32>
  }
}
