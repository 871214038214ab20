"""The training half: courses, forms, sessions, answers and what they are worth. It knows no network and no clock."""
