"""The JSON front of the service: HTTP and JSON outside, Triton's binary protocol inside."""
