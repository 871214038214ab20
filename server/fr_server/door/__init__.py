"""The front door: ends TLS 1.3 before gRPC, knows who is at the other end, and closes clients that waste its room.

gRPC listens on a unix socket in a private folder, and `door.Door` on the network. docs/adr/0033 says what gRPC's own
TLS and a proxy would not do.

`connection` follows one connection, and `relay` one direction of it. `tls` makes the context, `listener` hears what
happens. `pem` reads certificates, `authority` makes them.
"""
