"""Every call passes these interceptors, from the outside to the inside.

1. `boundary` reads the request, gives the call its id and turns exceptions into a status; `sizes` limits requests.
2. `guard` authenticates, authorizes and records; `streams` carries its streams.
3. `admission` takes as many calls as the server can work on.

`wrapping` puts an interceptor around a handler.
"""
