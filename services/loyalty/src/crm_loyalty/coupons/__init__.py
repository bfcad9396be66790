"""Coupons: series with terms, codes that nobody guesses, and each use from reservation to redemption."""
