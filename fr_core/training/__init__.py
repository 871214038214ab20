"""The training half: courses, forms, sessions, answers and what they are worth. It knows no network and no clock.

* **what is planned and made**: `plan` (what a trainer writes), `courses` (items in forms in blocks in sittings), `bank`
  (from people with photos to equated forms);
* **what is shown and answered**: `prompts` and `keys` are two types, so that nothing shown holds what is right;
  `answers`; `exercises` (a file each);
* **what becomes of it**: `trials` and `sessions` (a trainee's way), `store` (durable, shared by processes), `results`
  (flat rows) and `grading` (figures and words).
"""
