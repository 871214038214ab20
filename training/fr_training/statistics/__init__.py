"""Measures the decisions of people: sensitivity and bias, ability, agreement, change. It knows no trainees.

* **decisions of pairs**: `decisions` (both error rates, the undecided), `signal_detection` (d' and the criterion c, and
  what their estimates are on average); stated probabilities;
* **graded ratings**: `ordered_probit` (the model), `graded` (ability, criterion and scale of a person, and what each
  rating is worth as evidence), `graded_class` (what a class teaches about its people and its items);
* **ability and difficulty**: `item_response` (Rasch and guessing, the next item), `item_analysis` (items that mislead);
* **agreement**: `agreement` (kappa, McNemar, intraclass correlation), `fusion` (several opinions);
* **change**: `change` (reliable change, percentiles, published norms), `learning` (curves with bands);
* **a machine's advice**: `advice` (automation bias, prevalence);
* **many people**: `clustered` (means of people's own figures);
* what all of them use: `estimates` (with the normal and the beta distribution, and a posterior of z-transformed rates).

Areas under ROC curves, Wilson intervals, likelihood ratios of rating levels and picks from lists are in
`fr_core.scoring` itself. Intervals take trials for independent; of many people's trials together they are too narrow,
and those of `clustered` are not.
What the data cannot give is an `UndefinedRate`, never 0.0.
"""
