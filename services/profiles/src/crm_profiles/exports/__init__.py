"""Customers as files."""
