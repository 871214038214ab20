"""The stores of a server: where they lie, how they open, what the rooms above ask of them, and the seal over them."""
