"""Opens a course from a learning platform by LTI 1.3: registrations, launch, choice of a sitting, score.

https://www.imsglobal.org/spec/lti/v1p3/, /lti-dl/v2p0/ and /lti-ags/v2p0/ describe the messages.
"""
