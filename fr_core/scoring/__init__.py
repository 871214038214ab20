"""Scoring: what similarities and decisions are worth, with counts and intervals. It knows no photos and no models.

* **one to one**: `verification` (accuracy, error rates, thresholds), `det` (whole curves, equal error rate), `auc`;
* **one to many**: `identification` (CMC, FNIR, FPIR), `gallery_sizes` (as they grow);
* **how sure**: `intervals` (Wilson), `bootstrap` (by subject), `support` (the rules of 3 and of 30);
* **what a similarity means**: `calibration` (error rates and likelihood ratios that stand behind a threshold), made of
  `rate_table`, `calibrators` and `pav`, and written by `calibration_json`; `likelihood` judges likelihood ratios and
  probabilities;
* **for whom and when it errs**: `differentials` (by group, of `group_trials`), `rejection` (by quality).

A pair is accepted iff similarity >= threshold, everywhere. What the data cannot give is an `UndefinedRate`, never 0.0.
"""
