"""Simulated trainees: people of known ability, who show whether the product finds out what they can do.

* **who they are**: `trainee` (one of them, and how abilities are spread over people), `answers` (what photos tell, how
  that is rated, and all other answers);
* **what they take**: `runner` (a course of a plan without photos; sittings through the real flow, or on the machine of
  a server);
* **what is found out**: `study` (everybody takes everything), `worlds` (classes take a shipped plan, also where no
  model fits);
* **beside its bar**: `claims` (estimates beside the truth, the share of right answers), `world_claims`, `saving`
  (how well an ability is known after each pair, and adaptive blocks against fixed forms);
* **for readers**: `report` (words, tables, JSON), `page` (HTML with pictures), `cli` (`fr train simulate`).

The pair model. Two photos give evidence of unit variance, mean +m for one person and -m for two, and a trainee says
"same" above a criterion. Where d' and c are to be found out, m = d'/2 for every pair: that is equal-variance signal
detection, the model of those two figures, which knows no difficulty of items. Where ability is to be found out, in
adaptive blocks and in those that a study names, m = z(P) with P = g + (1 - g) s(theta - b), g = 1/2, which is
the model that abilities are estimated by: with a criterion of 0, right answers come with chance P to both kinds.
A trainee is so one model with two settings, and each figure is tested where its own model holds; how far real people
follow either model no simulation can tell.
"""
