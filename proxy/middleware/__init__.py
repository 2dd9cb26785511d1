"""ASGI layers, one job each; they know no embedding."""
