"""Evaluation: data sets through the pipeline of the service, to error rates and reports.

* `photos` analyses photos, `pick` chooses the face that is meant;
* `verification` (1:1) and `identification` (1:N) each run, compute and tell;
* of both: `report` (the values), `json_values`, `keys`, `words`, `plots`, `html`, `write` (the files), `cli`;
* `recorded` reads a report back, and `repeat` measures it again.
"""
