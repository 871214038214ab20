"""`fr bench video`: footage with known people, made or of a data set, followed and searched for."""
