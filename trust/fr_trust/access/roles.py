"""The six roles."""

from enum import StrEnum


class Role(StrEnum):
    """A role; a principal has one or more, and may do what any of them may.

    Attributes:
        TRAINEE: takes courses.
        TRAINER: makes courses and cohorts, and reads their reports.
        OPERATOR: keeps galleries, searches, and opens cases.
        EXAMINER: examines the leads of searches.
        AUDITOR: reads and checks the audit.
        ADMIN: makes keys and galleries.
    """

    TRAINEE = "trainee"
    TRAINER = "trainer"
    OPERATOR = "operator"
    EXAMINER = "examiner"
    AUDITOR = "auditor"
    ADMIN = "admin"


ALL_ROLES = frozenset(Role)  # of the owner of a server that asks nobody who calls
