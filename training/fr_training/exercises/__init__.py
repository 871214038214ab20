"""The exercises: what is shown at which step, which answers it takes, what they are worth.

* `protocol` says what every exercise can do, and takes keys and answers as the type that an exercise works with;
  `register` finds one by its word in a plan;
* **two photos**: `pairs` (verification, low prevalence, blind, aided), `features` (by component);
* **three photos**: `triad`; **one photo**: `triage`; **lists**: `lists` (of a probe of the course, of an own photo);
* `checks` refuses answers that cannot be, and lists the components of a face.

An exercise holds no state. What it shows before an answer is locked depends on nothing that is right, but for the
advice of an aided trial, and is told nobody's name.
"""
