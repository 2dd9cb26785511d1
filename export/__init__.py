"""Export: a Hugging Face sentence-embedding model to a complete Triton model repository."""
