"""Evaluation: data sets through the pipeline of the service, to error rates and reports.

* **what is measured**: `verification` (1:1) and `identification` (1:N) each read, run, compute and tell; `kinds` and
  `offers` list what there is;
* **photos**: `photos` analyses them, picks the face that is meant, and tells them apart by name;
* **a report**: `report` (its values), `json_values` (for programs), `words` (for people, as messages), `plots`, `html`,
  `hardest` (the single errors), `files` and `write` (a folder);
* **afterwards**: `recorded` reads a report back, `repeat` measures it again; `stored` and `stored_files` keep those of
  a server;
* **commands**: `cli`, and what it shares with others, `cli_parts`.
"""
