"""Referrals: customers who bring friends."""
