"""Quotes: what a basket costs a customer, with every effect, and taking that price at once."""
