"""Evidence: what was searched in a case, what was found and what examiners made of it, as one file that proves itself.

* `values` is what a bundle is made of, `documents` its JSON, `report` (with `page` and `words`) what people read of it;
* `archive` is the one form of ZIP that a bundle has;
* `bundle` makes and signs it, with the records of its case from the audit;
* `verify` (with `verify_case` and `verify_audit`) checks it, with neither server nor models.
"""
