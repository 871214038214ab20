"""Indexes: who is like a probe, among vectors in memory. `protocol` says what each does, `register` which there are.

`numpy_scan` is the reference that the others are held against. `faiss_flat` and `faiss_gpu` compare everything;
`rows_index` is what these three share. `faiss_compact` scans codes (`faiss_codes`, in segments: `faiss_segment`,
`faiss_scan`) and compares the best exactly. `growing` keeps vectors in memory.
"""
