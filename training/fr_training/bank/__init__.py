"""Makes forms from people with photos: items, their difficulty, and forms that are equally hard.

* `pool`: the people and photos that a course may show, and what is left out of them;
* `needs`: how many people a plan needs, before any photo is looked at;
* `labels`: who is like whom in what the labels say; `impostors`: whom the model most easily mistakes for whom;
* `clues`: what gives pairs away without a look at faces; `forecast`: how hard forms will be;
* `prepared`: the pool in an order of its own, two photos of each person, and all of the above as arrays;
* `difficulty`: from similarities to the difficulty of an item; items spread over difficulty, and equated forms;
* `workbench`: who is still free, which forms go together, and what answers to earlier courses change;
* `foils`: whom a search brings for a candidate list;
* `pairs`, `triads`, `lists`, `triage`: the items of the exercises; no person is in two of them, except as a foil;
* `replacements`: others in the place of items that are set aside;
* `manifest`: the pictures to be made, and the hash of a form;
* `compose`: all of it, from a plan and a pool to the forms of a course.

The same plan, people, model and seed give the same forms.
"""
