"""Verification: pairs of photos compared.

* `run` reads a data set, runs it and assembles the report; `sources` gives the embeddings of photos, `crops` and
  `templates` those of faces that are given;
* `compare` makes similarities; `figures` (error rates), `calibrate` (what a similarity means), `groups` (for whom it
  errs) and `quality` (when) compute;
* `report` is the value; `as_json` tells programs, `words` and `section_words` people, `page` draws and writes HTML.
"""
