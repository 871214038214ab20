"""`fr train`: assembles its commands."""

from __future__ import annotations

import typer

from fr_client.cli.plugins import plugin_group
from fr_client.cli.train import cohorts, courses, plans, results, run

train = typer.Typer(
    cls=plugin_group("train"),
    help="Courses in the comparison of faces: make them, take them, and read the results.",
    no_args_is_help=True,
)
train.command("plans")(plans.list_plans)
train.command("plan")(plans.plan)
train.command("courses")(courses.list_courses)
train.command("course")(courses.show_course)
train.command("delete-course")(courses.delete_course)
train.command("probe-key")(courses.probe_key)
train.command("cohorts")(cohorts.list_cohorts)
train.add_typer(cohorts.cohort, name="cohort")
train.command("delete-trainee")(cohorts.delete_trainee)
train.command("run")(run.run)
train.command("report")(results.report)
train.command("export")(results.export)
