"""Front-end processes: they answer calls and work on photos, beside one process that runs the models and the galleries.

`supervisor` starts them and keeps them alive, `__main__` is what runs in one. Between the two goes a `wire` with the
`messages`, and an `arena` of memory that both see, with the pixels. `answering` is the engine's end of it, `asking` the
front-end's, and `remote` what the pipeline and the services see of that.
"""
