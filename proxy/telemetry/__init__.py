"""What others are told of the service while it runs: Prometheus' metrics and OpenTelemetry's spans."""
