"""Training in face comparison: courses, sessions, grading, reports and exports.

* `plan` says what a trainer wants, `bank` composes equated forms, `build` makes a course of them from photos;
* `exercises` says what a trainee sees and answers, `sessions` leads through a sitting;
* `grading` computes figures with `statistics`, `report` and `exports` show them;
* `store` keeps all of it, `simulation` has simulated trainees.

Everything below `store` is pure: no disk, no clock, no image library.
"""
