"""What the service does with texts: costs, queues and calls; no HTTP, no Triton, no settings."""
