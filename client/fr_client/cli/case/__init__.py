"""Commands for cases, their examinations and evidence."""
