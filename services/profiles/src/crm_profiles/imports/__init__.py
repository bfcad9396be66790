"""Files of customers: read, mapped, written, and taken back."""
