"""Evaluation: data sets through the pipeline of the service, to error rates and reports.

* **photos**: `photos` analyses them, `pick` chooses the face that is meant;
* **one to one**: `verify` runs it, `compare` and `figures` compute; `words`, `page`, `plots`, `report_json` tell;
* **one to many**: `run_identification` runs it, `identify` enrols and searches, `identification` computes;
  `identification_words`, `_page`, `_plots`, `_json` tell;
* **both**: `report` (the values), `json_values`, `keys`, `html`, `write` (the files), `cli` (the commands).
"""
