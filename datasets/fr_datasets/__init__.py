"""Data sets of labelled photos, read from a folder and checked: what is in them, by whose terms; no image lies here.

* **a set**: one module each, such as `lfw`, `london` or `pairs_csv`, and its manifest in `manifests`; `catalogue` says
  which module checks which set;
* **what they give**: `values` (pairs, people, crops, templates); `people_pairs` makes pairs of people, `labels` says
  what is known of them;
* **how lists are read**: `tables` and `two_line_pairs` read lines, `plain_pickle` reads a pickle
  without running it, `folders` finds photos; `errors` says what is wrong;
* **on the disk**: `links` (where a set lies), `fetch`, `archives`;
* **the command**: `cli`, `progress`, and `telling`, which turns errors into sentences.
"""
