"""The domain: texts to vectors by an `Embedder`, and embedders around it; no HTTP, no Triton and no settings."""
