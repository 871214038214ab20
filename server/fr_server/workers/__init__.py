"""Front-end processes: they answer calls and work on photos, beside one process that runs the models and the galleries.

`supervisor` starts them and keeps them alive, `frontend` is what runs in one. Between the two go `messages` over a
wire, and the pixels through `shared_memory`. `link_server` is the engine's end of it, `link_client` the front-end's.
"""
