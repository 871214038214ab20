"""The bars: what the default pack has to reach on the test data."""

from __future__ import annotations

from collections.abc import Mapping

from fr_bench.values import Bar

# The pack that the bars were set for. Another pack prints the same figures without bars.
PACK = "buffalo_s"

# By (part of a set, key of a measure). For comparison, InsightFace's own pipeline with the same weights, at its default
# input of 640 px: lfw .9925 and 2 photos without a face, celeba_wild .9750, deepface 1.000, nonface 0 easy and 6 hard.
BARS: Mapping[tuple[str, str], Bar] = {
    ("lfw", "best_threshold_accuracy"): Bar(0.9980, at_least=True),
    ("lfw", "photos_without_face"): Bar(0, at_least=False),
    ("celeba_wild", "best_threshold_accuracy"): Bar(0.9780, at_least=True),
    ("deepface", "best_threshold_accuracy"): Bar(1.0, at_least=True),
    ("nonface/easy", "photos_with_detections"): Bar(0, at_least=False),
    ("nonface/hard", "photos_with_detections"): Bar(4, at_least=False),
    ("groups", "photos_counted_right"): Bar(9, at_least=True),
    ("odd_formats", "files_not_as_expected"): Bar(0, at_least=False),
}
