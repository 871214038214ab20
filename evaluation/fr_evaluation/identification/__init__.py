"""Identification: half of a set's people enrolled, the photos of all others searched for.

* `run` reads a data set and runs it; `searches` enrols and searches, and draws the strangers who fill a gallery up;
* `figures` computes, and has the report; `as_json` tells programs, `words` people, `page` draws and writes HTML.
"""
