"""Builds courses from the photos of data sets. Only this part of training needs models and image libraries."""
