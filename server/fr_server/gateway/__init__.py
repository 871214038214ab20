"""Terminates TLS 1.3 in front of gRPC, identifies clients, and closes connections that waste resources.

gRPC listens on a unix socket in a private folder, and `gateway.Gateway` listens on the network. docs/adr/0033 explains
why gRPC's own TLS or a proxy is not enough.

`connection` handles one connection, and `relay` one direction of it. `tls` makes the context. `pem` reads certificates,
and `authority` makes them.
"""
