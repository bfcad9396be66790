"""Value and level of each customer."""
