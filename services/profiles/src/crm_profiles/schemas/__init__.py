"""The bodies that profiles takes and answers, a module for each noun."""
