"""The HTTP edge: one shape for every service."""
