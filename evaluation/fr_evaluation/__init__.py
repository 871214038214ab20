"""Evaluation: data sets through the pipeline of the service, to error rates and reports.

* **what is measured**: `verification` (1:1) and `identification` (1:N) each read, run, compute and tell; `kinds` and
  `offers` list what there is;
* **photos**: `photos` analyses them, `pick` chooses the face that is meant, `names` tells them apart, `thumbnails`
  shows them;
* **a report**: `report` (its values), `provenance` (on what), `json_values` and `keys` (for programs), `words` (for
  people), `plots`, `html`, `hardest` (the single errors), `files` and `write` (a folder);
* **afterwards**: `recorded` reads a report back, `repeat` measures it again; `keeping` and `stored` keep those of a
  server;
* **commands**: `cli`, `repeat_cli`, and what they share, `cli_parts`.
"""
