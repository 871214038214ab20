"""TrainingService: `service` puts together the calls on `courses`, `cohorts`, `sessions` and `results`.

They share a `desk`. `course_gallery` is the real gallery behind the candidate lists of a course; `own_probe` searches
it for the photo of a trainee. `gathered` has what the trainees of a cohort have done. `showing` makes messages of
trials with their pictures. `storage` opens the store, and rids it of what is due.
"""
