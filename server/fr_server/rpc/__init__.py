"""The RPCs: `services` answer, `convert` turns messages into values and back, `interceptors` surround each call."""
