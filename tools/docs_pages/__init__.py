"""The pages of docs/ that are generated from the source, one module a page."""
