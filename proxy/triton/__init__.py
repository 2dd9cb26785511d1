"""All that knows Triton: the connection, the protocol, and what its answers mean."""
