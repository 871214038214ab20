"""The sentence that goes with every answer about how alike faces are."""

NOTICE = (
    "Leads for a human examiner, not an identification: similarity is computed by a model that errs. "
    "A trained examiner must compare the photos before anything is concluded."
)
