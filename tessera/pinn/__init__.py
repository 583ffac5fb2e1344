"""Physics-informed networks."""
