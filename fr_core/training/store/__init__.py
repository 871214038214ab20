"""The durable truth of courses, cohorts, sessions and answers: SQLite, encrypted, open in several processes at once.

* `training_store` is the front door; `values` are what it hands out, `codes` what trainees get in by;
* `courses`, `cohorts` and `sessions` are its rooms, `clearing` takes away what was deleted, bit by bit;
* `writer` is the one thread of a process that writes, in groups; `database` has the connections, `folder` the locks;
* `schema` has the tables, `seals` encrypts and authenticates their rows;
* `codec` turns sessions and trials into bytes, `course_codec` courses, `answer_codec` answers; `caches` remember.
"""
