"""Choosing among lowerings by measurement."""
