"""Verification: pairs of photos compared.

* `run` reads a data set and runs it; `sources` gives the embeddings of photos, `crops` and `templates` those of faces
  that are given;
* `compare` makes similarities, `assemble` the report of them: `figures` (error rates), `calibrate` (what a similarity
  means), `groups` (for whom it errs), `quality` (when); `undefined` says what could not be computed;
* `report` is the value; `as_json` tells programs, `words` and `section_words` people, `plots` draws,
  `page` is the HTML.
"""
