"""`fr train`: assembles its commands, each of which is a noun and a verb."""

import typer

from fr_client.cli.plugins import plugin_group
from fr_client.cli.train import cohorts, courses, items, plans, results, run

train = typer.Typer(
    cls=plugin_group("train"),
    help="Courses in the comparison of faces: make them, take them, and read the results.",
    no_args_is_help=True,
)
train.command("run")(run.run)
train.command("review")(items.review)
train.command("export")(results.export)
train.command("manual")(plans.manual)
train.command("package")(plans.package)
train.add_typer(plans.plan, name="plan")
train.add_typer(courses.course, name="course")
train.add_typer(courses.probe, name="probe")
train.add_typer(cohorts.cohort, name="cohort")
train.add_typer(cohorts.trainee, name="trainee")
train.add_typer(items.item, name="item")
train.add_typer(results.report, name="report")
