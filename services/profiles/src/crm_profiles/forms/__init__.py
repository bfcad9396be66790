"""Questions to everybody, and what becomes of the answers."""
