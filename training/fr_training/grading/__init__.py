"""From results to figures: of a trainee, of a cohort, of the machine.

* `trainee` and `cohort` compute a whole report; `figures` is what they return;
* `values` says what a figure is (a value with its interval, or why there is none) and which trials count;
* **by kind of exercise**: `pairs` (with `rates`, `evidence`), `kinds` (triads, lists, triage); `blocks` puts them
  together for each block and each test;
* **over trials, tests and people**: `scores` (change, norms, cohort, learning), `advice` (and rare mismatches),
  `groups`, `verification` (blind), `fusion` (crowds, with the machine), `items`, `trainee_means`;
* `sentences` says what the figures come to; `certainty` decides what may be claimed.

Trials that show somebody whom the trainee knows, and those without an answer, are counted and in no other figure. The
statistics are those of `fr_core.scoring`; what the answers cannot give is `values.Undefined` with a message, never 0.
"""
