"""The durable truth of courses, cohorts, sessions and answers, on the encrypted SQLite store of `fr_core.storage`.

* `training_store` is the front door; `values` are what it hands out, `codes` what trainees get in by;
* `courses`, `cohorts` and `sessions` are its rooms, `clearing` takes away what was deleted, bit by bit;
* `schema` has the tables, `folder` the name of the file, `seals` what rows are bound to, `writer` the transactions;
* `codec` turns sessions and trials into bytes, `course_codec` courses, `answer_codec` answers; `caches` remember.
"""
