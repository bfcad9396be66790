"""One address for all services: sign-in, routing, composition; no business rules."""
