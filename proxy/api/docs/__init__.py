"""What the OpenAPI schema says beside the fields, and the pages that show it."""
