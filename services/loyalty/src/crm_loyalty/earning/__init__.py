"""Earning: rules, purchases as they are known here, and the points that come of both."""
