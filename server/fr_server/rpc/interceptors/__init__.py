"""What every call passes through, from the outermost room inwards.

* `boundary` reads the requests, gives the call its id and turns what was raised into a status;
* `lasting` is the context of a stream, also for what goes on a moment after its end;
* `fr_server.authz.guard` is next: who calls, and whether they may;
* `admission` takes as many calls as the server can work on;
* `wrapping` is how a room puts itself around a handler, `sizes` says what a request may have in it.
"""
