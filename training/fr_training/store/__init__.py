"""Keeps everything of training: courses, cohorts, sessions and answers, on `fr_core.storage`.

* `training_store` opens it and deletes what is gone; `courses`, `cohorts` and `sessions` are its rooms, `transaction`
  writes and records;
* `schema` has the tables, `codec` and `course_codec` the bytes of sealed rows, `codes` the codes of trainees;
* `caches` remembers what was used last; `values` are what the store hands out.
"""
