"""Alembic migrations of this service."""
