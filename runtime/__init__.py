"""The embedded Triton: finds the server in its PyPI wheel, starts it and the proxy, and watches both."""
