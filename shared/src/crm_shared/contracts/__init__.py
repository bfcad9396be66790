"""The published events: fields, no behaviour."""
