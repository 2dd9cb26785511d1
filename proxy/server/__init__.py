"""Sockets: bounds on heads and connections, and a stop that lets no request down; no route and no text."""
