"""A trainee's way through a sitting. Everything here is a function of course, session and the time that it is told.

* **the way itself**: `flow` (what is shown next, answers that are locked, once, in turn and in time, pauses, the end)
  and `probes` (a photo of the trainee's own); both return a new session, or the very same object where nothing has
  changed;
* **what a caller gets**: `views` (a trial with the numbers of its pictures, a block to begin, the end, a locked step);
* **which item comes next**: `order`, with adaptive blocks, and the ids and orders from the secret of a session;
* **time**: `clock` (pauses and limits, on a clock that may step back); `now_ms` is milliseconds since 1970, UTC;
* **what became of it**: `results` (a row for each trial, and how far a session is).

Nothing is random but what follows from the secret of a session, so a session is what its record says: a process that
reads it anew goes on exactly where another has stopped.
"""
