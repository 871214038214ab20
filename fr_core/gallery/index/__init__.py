"""Finds the vectors in memory that are most like a probe. `protocol` says what an index does, `register` lists them.

`rows_index` has the reference that the others are held against, and what it shares with `faiss_flat` and `faiss_gpu`,
which compare everything. `faiss_compact` scans codes (`faiss_codes`, `faiss_scan`) and compares the best exactly.
`faiss_gpu` scans halves on GPUs (`gpu_memory`, `faiss_cuda`). `growing` keeps vectors in memory.
"""
