"""The asynchronous client, and the source of the synchronous one: `make client` translates it to `fr_client.sync`."""
