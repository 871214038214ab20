"""Identification: half of a set's people enrolled, the photos of all others searched for.

* `run` reads a data set and runs it; `searches` enrols and searches, `strangers` draws who fills a gallery up;
* `figures` computes, `by_people` how sure that is;
* `report` is the value; `as_json` tells programs, `words` people, `plots` draws, `page` is the HTML.
"""
