"""The console: what people do, as pages of a browser; each page works without JavaScript.

A view is a function of a `Visit`, a form is a dataclass, a page is a template. It calls the server with the key of who
is signed in, and has no right of its own. CONTRIBUTING.md says how to add a screen.
"""
