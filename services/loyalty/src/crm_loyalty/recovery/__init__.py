"""Service recovery: compensations for upheld complaints."""
