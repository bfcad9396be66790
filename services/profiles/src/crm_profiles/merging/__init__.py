"""Two records of one person: found, weighed, merged and undone."""
