"""The exercises, a file each: what is shown at which step, which answers it takes, what they are worth.

* `protocol` says what every exercise can do; `register` finds one by its word in a plan;
* **two photos**: `verification`, `low_prevalence`, `blind`, `features` (by component), `aided` (with the machine's
  opinion); `pairs` is what they share, `components` the parts of the face;
* **three photos**: `triad`; **one photo**: `triage`;
* **lists**: `candidates`, `own_probe` (of a photo that the trainee sends); `lists` is what they share;
* `checks` refuses answers that cannot be; `reading` takes keys and answers as the type that an exercise works with.

An exercise holds no state. What it shows before an answer is locked depends on nothing that is right, but for the
advice of an aided trial, and is told nobody's name.
"""
