"""The commands of `fr` that run on the machine of a server."""
