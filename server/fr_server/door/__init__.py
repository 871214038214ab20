"""The front door: ends TLS 1.3 before gRPC, knows who is at the other end, and closes whoever wastes its room.

gRPC's own server in Python cannot demand TLS 1.3, does not tell why a handshake failed, bounds no connections, and
closes nobody who stalls. So gRPC listens on a unix socket in a private folder, and `door.Door` on the network.

`limits` and `tls` are what it is told, `listener` is whom it tells; `greeting`, `flow` and `connection` are the way of
one connection, `crowd` counts them all; `authority` makes certificates.
"""
