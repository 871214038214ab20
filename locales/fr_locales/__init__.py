"""Sentences for people, by message id: `messages` are values that any module may build, `rendering` writes them out.

The catalogues are GNU gettext files, `<language>/LC_MESSAGES/fr.po`, with ids in place of English sentences. A new
language is a new folder; no code changes. `tools/check_messages.py` holds code and catalogues together.
"""
