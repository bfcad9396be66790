"""What happens with customers, and the pages that put it together."""
