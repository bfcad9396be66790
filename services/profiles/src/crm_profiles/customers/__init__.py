"""Customers: what is known of them, how it is written, found and kept."""
