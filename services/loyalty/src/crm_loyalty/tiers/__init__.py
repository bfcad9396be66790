"""Tiers: the ladder, where each customer stands on it, and what another ladder would change."""
