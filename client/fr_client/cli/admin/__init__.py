"""Commands for the server, its keys, its audit and its reports."""
