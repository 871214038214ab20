"""`fr train`: where each of its commands is."""

from __future__ import annotations

import typer

from fr_client.cli import train_cohorts, train_courses, train_plans, train_results, train_run
from fr_client.cli.plugins import TrainGroup

train = typer.Typer(
    cls=TrainGroup,
    help="Courses in the comparison of faces: make them, take them, and read what was learnt.",
    no_args_is_help=True,
)
train.command("plans")(train_plans.list_plans)
train.command("plan")(train_plans.plan)
train.command("courses")(train_courses.list_courses)
train.command("course")(train_courses.show_course)
train.command("delete-course")(train_courses.delete_course)
train.command("probe-key")(train_courses.probe_key)
train.command("cohorts")(train_cohorts.list_cohorts)
train.add_typer(train_cohorts.cohort, name="cohort")
train.command("delete-trainee")(train_cohorts.delete_trainee)
train.command("run")(train_run.run)
train.command("report")(train_results.report)
train.command("export")(train_results.export)
