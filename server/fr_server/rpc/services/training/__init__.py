"""TrainingService: `service` puts together the calls on `courses`, `cohorts`, `sessions`, `review` and `results`.

They share their `resources`. `course_gallery` is the real gallery behind the candidate lists of a course; `own_probe`
searches it for the photo of a trainee, and reads what a cohort has done. `storage` keeps the galleries of courses, and
deletes what is due.
"""
