"""Data sets of labelled photos, read from a folder and checked: what is in them, by whose terms; no image lies here.

* **a set**: one module each, such as `lfw`, `london` or `pairs_csv`, and its manifest in `manifests`; `catalogue` says
  which module checks which set;
* **what they give**: `values` (pairs, people, crops, templates); `labels` says what is known of people;
* **how lists are read**: `tables` reads lines and finds photos, `plain_pickle` reads a pickle without running it;
* **on the disk**: `links` (where a set lies), `fetch`, `archives`;
* **the command**: `cli`, `progress`, and `exit_status`, which turns errors into sentences.

Every reader of a set raises `DatasetMissing` where a list or a photo that it names is absent, `DatasetUnreadable` where
one cannot be read, `DatasetMalformed` where a list breaks its format, `LeadsOut` where a link leads out of the folder,
and `DatasetError` where photos lie where they should not; all are in `errors`.
"""
