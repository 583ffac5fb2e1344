"""What every op is made of: errors, dims, op definition, numerics, randomness, JAX compatibility."""
