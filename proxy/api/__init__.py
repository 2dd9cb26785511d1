"""HTTP and JSON: routes that read a request, ask an `Embedder`, and write its answer."""
