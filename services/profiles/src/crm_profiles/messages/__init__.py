"""What was sent to customers and what came of it."""
