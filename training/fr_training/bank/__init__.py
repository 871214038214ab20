"""From people with photos to forms: items, their difficulty, and equated forms.

* `pool`, `quarantine`: the people and photos that a course may show, and what is left out of them.
* `photo_order`: whether the order of people's photos shows in them.
* `needs`: how many people a plan needs, before any photo is looked at.
* `likeness`: who is like whom in what the labels say: data set, sex, ethnicity, age.
* `impostors`: who is most easily mistaken for whom, under the model.
* `matcher`: the search behind lists of candidates, and its plain reference.
* `roster`: the pool made ready: people in an order of its own, two photos of each, and all of the above as arrays.
* `difficulty`: from similarities to the difficulty of an item.
* `learned`: what people's answers to earlier courses change: difficulties that they move, and items set aside.
* `mending`: others in the place of items that are set aside.
* `degradations`: what may be wrong with a photo, how strongly, in which unit.
* `equate`: items spread over difficulty, and forms that are equally hard.
* `pairs`, `triads`, `lists`, `triage`: the items of the exercises, made of people whom nobody else shows.
* `shares`: which people are still free, and which forms go together.
* `pictures`, `manifest`, `reports`: the pictures to be made, the hash of a form, and what the trainer reads of it.
* `compose`: all of it, from a plan and a pool to the forms of a course.
"""
