"""Enquiries and complaints, to their end."""
