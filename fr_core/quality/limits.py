"""Quality, the limits: the worst that a face may be and still serve as a template."""

import math
from dataclasses import dataclass, fields

from fr_core.errors import ConfigInvalid, message


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """The worst that a face may be to be enrolled; a value equal to its limit passes.

    The defaults are lenient: they refuse only the worst photos, so that nearly every ordinary photo passes, and some of
    those that pass already cost matches. "FNMR" is the share of 300 mated pairs of LFW (folds 1 and 2, w600k_mbf
    embedder, threshold at a false match rate of 0.1 %) that are missed once one photo of each pair is spoilt; unspoilt
    it is 1.0 %.

    Raises `ConfigInvalid`: a limit that is not a number, or outside the range of its measure.
    """

    # Pixels of the photo. FNMR stays at 1.0 % down to 12 pixels and is 2.3 % at 10, 4.0 % at 8; 16 leaves room for
    # compression, which small faces suffer most from.
    min_inter_eye_px: float = 16.0
    # Variance of the Laplacian of the aligned crop, grey levels squared. 4 is a Gaussian blur of 3 pixels of the 112
    # (FNMR 4.7 %; with 4 pixels 14.7 %).
    min_sharpness: float = 4.0
    min_brightness: float = 0.04  # mean luma in [0, 1]. At 0.05 FNMR is 1.7 %, at 0.034 it is 3.7 %, at 0.02 12 %.
    max_brightness: float = 0.85  # mean luma in [0, 1]. Overexposed to 0.76 FNMR is 3.7 %, to 0.83 11 %, to 0.86 19 %.
    # Degrees to either side. Over all 23,871 mated pairs of LFW, celeba_wild and London, FNMR is 0.2 % at every yaw up
    # to 60 and 4.4 % beyond.
    max_yaw: float = 60.0
    # Degrees up or down. No loss was seen up to 44, the most there is in those sets; a broad smile reads as ten degrees
    # down.
    max_pitch: float = 50.0
    # Degrees either way. Alignment undoes the roll, but the detector's landmarks cannot be relied upon beyond: FNMR is
    # 1.0 % at 45, 6.0 % at 60, 23 % at 90.
    max_roll: float = 50.0
    # In [0, 1]. Below 0.6 SCRFD finds 2 of 3,112 faces of those sets, and YuNet under 1 in 100.
    min_detector_score: float = 0.6
    # Share of the box that lies outside the photo, in [0, 1]. With 0.4 of the face missing FNMR is 1.7 % (side), 3.0 %
    # (chin) and 3.3 % (forehead), with half of it up to 13 %.
    max_outside: float = 0.4

    def __post_init__(self) -> None:
        for field in fields(self):
            value, most = float(getattr(self, field.name)), _MOST.get(field.name, math.inf)
            if not (math.isfinite(value) and 0.0 <= value <= most):
                raise ConfigInvalid(
                    message("error.quality.number", field=field.name, most=most), key=f"quality.{field.name}"
                )
        if self.min_brightness > self.max_brightness:
            raise ConfigInvalid(message("error.quality.quality_min_brightness_must_not"))


_MOST = {
    "min_brightness": 1.0,
    "max_brightness": 1.0,
    "max_yaw": 180.0,
    "max_pitch": 90.0,
    "max_roll": 180.0,
    "min_detector_score": 1.0,
    "max_outside": 1.0,
}
