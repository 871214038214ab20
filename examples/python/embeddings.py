"""Enrol embeddings that were made before: vectors.npy holds f32[n, D], each row of length 1."""

import numpy as np

from fr_api.v1 import common_pb2
from fr_client import Client, EmbeddingBatch, EmbeddingSubject

vectors = np.load("vectors.npy")  # f32[n, D], each row of length 1
names = [f"subject-{row}" for row in range(len(vectors))]

with Client("localhost:50061") as client:
    model = client.get_gallery("team").model
    batches = (
        EmbeddingBatch(
            vectors=vectors[row : row + 1000].astype("<f4").tobytes(),
            subjects=[EmbeddingSubject(name) for name in names[row : row + 1000]],
            item_id=str(row),
        )
        for row in range(0, len(vectors), 1000)
    )
    for item_id, answer in client.enrol_embeddings("team", model, batches):
        if isinstance(answer, common_pb2.Refusal):
            print("nothing of the batch from row", item_id, "was stored:", answer.message)
            continue
        for one in answer.refusals:
            print("row", int(item_id) + one.row, "was refused:", one.refusal.message)
