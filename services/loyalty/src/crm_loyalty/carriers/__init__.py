"""The ways by which messages leave, and who walks them."""
