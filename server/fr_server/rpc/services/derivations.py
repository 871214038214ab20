"""What was made of a photo, and what a search was told: written down in words and numbers for whoever repeats it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fr_api.v1 import common_pb2
from fr_api.v1 import gallery_pb2 as pb
from fr_core.align import ARCFACE_TEMPLATE, CROP_SIZE, similarity_transform
from fr_core.imaging.containers import sniff
from fr_core.types import ModelId
from fr_server.rpc.convert.common import face_policy
from fr_server.rpc.convert.gallery import top_k


def told_to(search: pb.SearchRequest, found: pb.SearchResponse) -> Mapping[str, str]:
    """Return what a search was told, and how it was done, by name."""
    criterion = search.WhichOneof("criterion")
    return {
        "criterion": "default threshold" if criterion is None else f"{criterion} {getattr(search, criterion):g}",
        "exhaustive": str(found.exhaustive).lower(),
        "filter": _filter_words(search),
        "fusion": pb.ScoreFusion.Name(found.fusion).removeprefix("SCORE_FUSION_").lower(),
        "only_above_threshold": str(search.only_above_threshold).lower(),
        "several_faces": face_policy(search.several_faces, allow_all=False).name.lower(),
        "top_k": str(top_k(search)),
    }


def derived(photo: bytes, face: common_pb2.Face, model: ModelId) -> Mapping[str, str]:
    """Return what was made of a photo on the way to its embedding, by name.

    Args:
        photo: as it was sent, or as the gallery keeps it.
        face: that the embedding is of, as an answer tells it.
    """
    points = (face.landmarks.left_eye, face.landmarks.right_eye, face.landmarks.nose)
    mouth = (face.landmarks.mouth_left, face.landmarks.mouth_right)
    landmarks = np.array([(point.x, point.y) for point in (*points, *mouth)], dtype=np.float32)
    matrix = similarity_transform(landmarks, ARCFACE_TEMPLATE)
    box = face.box
    reasons = [common_pb2.QualityReason.Name(one).removeprefix("QUALITY_REASON_") for one in face.quality.reasons]
    form = sniff(photo) or "another format"
    return {
        "1_decoded": f"{form}, EXIF orientation applied, 8-bit RGB as stored, colour profile not applied",
        "2_box_px": " ".join(f"{value:.2f}" for value in (box.left, box.top, box.right, box.bottom)),
        "2_detector_score": f"{face.score:.4f}",
        "3_landmarks_px": " ".join(f"{x:.2f},{y:.2f}" for x, y in landmarks.tolist()),
        "4_crop": f"{CROP_SIZE} x {CROP_SIZE} pixels, bilinear, by the similarity below",
        "4_similarity_matrix": " ".join(f"{value:.6f}" for value in matrix.ravel().tolist()),
        "5_quality": f"{face.quality.score:.4f} {' '.join(reasons)}".strip(),
        "6_embedding": f"of the crop, by {model}, brought to length 1",
    }


def _filter_words(search: pb.SearchRequest) -> str:
    """Return how the search was kept to some subjects, without saying to whom."""
    if not search.HasField("filter"):
        return "none"
    return f"{len(search.filter.metadata)} pairs of metadata, {len(search.filter.subject_ids)} subjects"
