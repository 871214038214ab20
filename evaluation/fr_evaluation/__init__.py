"""Evaluation: data sets through the pipeline of the service, to error rates and reports."""
