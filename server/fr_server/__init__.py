"""The gRPC server: wires the core to the API."""
