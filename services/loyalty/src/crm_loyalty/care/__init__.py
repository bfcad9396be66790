"""Care: messages and gifts on occasions, once per customer and cycle."""
