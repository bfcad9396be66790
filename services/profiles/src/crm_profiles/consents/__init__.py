"""Whether somebody may be written to: consents, limits, policy and the decision."""
