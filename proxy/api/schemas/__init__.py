"""The JSON that comes in and goes out, from which the OpenAPI schema is made."""
