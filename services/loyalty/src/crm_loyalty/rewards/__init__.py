"""Rewards: what points can be exchanged for, and how it reaches the customer."""
