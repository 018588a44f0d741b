"""Backbones, heads, and the network that they make."""
