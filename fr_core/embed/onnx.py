"""Embedding models of the ArcFace and SFace families: they differ by the numbers of their pack alone.

ArcFace: Deng et al., "ArcFace: additive angular margin loss for deep face recognition", CVPR 2019. SFace: Zhong et al.,
"SFace: sigmoid-constrained hypersphere loss for robust face recognition", IEEE TIP 30, 2021. Both take a crop aligned
to the ArcFace template and give one vector.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fr_core.runtime.session import Session
from fr_core.types import F32, AlignedFace


class OnnxEmbedder:
    """An embedding model; gives vectors as they are, a `RawEmbedder`.

    Args:
        session: of the model.
        size: number of values of a vector.
    """

    def __init__(self, session: Session, size: int) -> None:
        self.size = size
        self._session = session

    def vectors(self, faces: Sequence[AlignedFace]) -> F32:
        """As `RawEmbedder.vectors`, in one run: there are as many faces as a batch may have."""
        return self._session.run(np.stack([face.pixels for face in faces]))[0]
