"""Terminates TLS 1.3 in front of gRPC, identifies clients, and closes connections that waste resources.

gRPC listens on a unix socket in a private folder, and `door.Door` on the network. docs/adr/0033 says why
gRPC's own TLS or a proxy is not enough.

`connection` follows one connection, and `relay` one direction of it. `tls` makes the context, `listener` hears what
happens. `pem` reads certificates, `authority` makes them.
"""
