"""What the server tells about its own work: metrics, traces and logs. None holds a photo, a vector, a name or an id."""
