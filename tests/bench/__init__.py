"""What the system costs, each figure beside its ceiling: `python -m tests.bench`; README.md says how."""
