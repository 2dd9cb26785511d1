"""All that knows Triton: its protocol, its configuration, its errors, and the `Embedder` that asks it."""
