"""Pools: households that share their points."""
