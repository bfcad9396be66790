"""Activities: what customers are invited to."""
