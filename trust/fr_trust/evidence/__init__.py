"""Evidence: what was searched in a case, what was found and what examiners made of it, as one file that proves itself.

* `values` is what a bundle is made of, `documents` its JSON, `report` (with `page` and `words`) what people read of it;
* `archive` is the one form of ZIP that a bundle has; `signing` signs its manifest;
* `extract` takes its records from the audit;
* `bundle` makes it, `verify` checks it, with neither server nor models.
"""
