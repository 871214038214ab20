"""From results to figures: of a trainee, of a cohort, of the machine.

* `trainee` and `cohort` are the doors; `figures` is what they return;
* **which trials count**: `splitting`; **what a figure is**: `values`, a value with its interval, or why there is none;
* **by kind of exercise**: `pairs` (with `errors`, `error_places`, `areas`, `evidence`, `machine`), `triads` (with
  `abilities`), `lists`, `triage`; `blocks` puts them together for each block and each test;
* **over trials, tests and people**: `learning`, `standing` (change, norms, cohort), `aided` (advice, rareness),
  `groups`, `agreeing` (blind verification), `fusion` (crowds, with the machine), `items`, `own` (means of
  trainees);
* **in plain words**: `words`, `practise_words`, `trainee_words`, `cohort_words`; `surely` says what may be claimed.

Trials that show somebody whom the trainee knows, and those without an answer, are counted and in no other figure. The
statistics are those of `fr_core.scoring`; what the answers cannot give is `values.Undefined` with a sentence, never 0.
"""
