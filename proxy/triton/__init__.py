"""All that knows Triton: connection, protocol, configuration and errors, and the `Embedder` that asks it."""
