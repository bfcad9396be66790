"""The life cycle of customers, who looks after them, and reports."""
