"""Erasure, suppression and exports of what is held about a person."""
