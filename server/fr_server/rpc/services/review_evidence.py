"""Evidence of a case: put together from its store, its audit, the calibrations, and the photos measured once more."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fr_api.v1 import common_pb2
from fr_api.v1 import gallery_pb2 as pb
from fr_core.align import ARCFACE_TEMPLATE, CROP_SIZE, similarity_transform
from fr_core.errors import CalibrationInvalid, InputRefused, NoFaceFound, StoreCorrupt, UnknownGallery, message
from fr_core.gallery.values import calibration_id
from fr_core.imaging.containers import sniff
from fr_core.pipeline import Pipeline
from fr_core.runtime.ticket import current_ticket
from fr_core.scoring.calibration import Calibration
from fr_core.types import EmbeddedFace, Embedding, ModelId
from fr_server.authz.callers import current_principal
from fr_server.rpc.convert.calibration import calibration_from
from fr_server.rpc.convert.common import face_message, face_policy
from fr_server.rpc.convert.gallery import top_k
from fr_server.rpc.services.decisions import Decisions
from fr_server.storage.calls import GalleryCalls
from fr_trust.access.principal import Role
from fr_trust.casework.rules import may_examine
from fr_trust.casework.store import CaseStore
from fr_trust.casework.values import Case, Examination
from fr_trust.errors import NotPermitted, UnknownCase, UnknownExamination
from fr_trust.evidence.bundle import EvidenceSigner, audit_extract, build_bundle
from fr_trust.evidence.documents import NOTED_AT_THE_SEARCH
from fr_trust.evidence.values import AuditExtract, Bound, Exhibit, Figures


def told_to(search: pb.SearchRequest, found: pb.SearchResponse) -> Mapping[str, str]:
    """Return what a search was told, and how it was done, by name."""
    criterion = search.WhichOneof("criterion")
    result = found.results[0]
    withheld, quality = result.rates_withheld.reasons, common_pb2.QualityReason.Name
    why = (common_pb2.PassedOverReason.Name(one.reason) for one in result.choice.passed_over)
    others = Counter(name.removeprefix("PASSED_OVER_REASON_").lower() for name in why)
    return {
        **({"error_rates": f"withheld: {' '.join(map(quality, withheld))}"} if withheld else {}),
        "face": f"{result.choice.number} of {result.choice.faces}, the largest first",
        "faces_passed_over": ", ".join(f"{number} {name}" for name, number in others.items()) or "none",
        "criterion": "default threshold" if criterion is None else f"{criterion} {getattr(search, criterion):g}",
        "exhaustive": str(found.exhaustive).lower(),
        "filter": _filter_words(search),
        "fusion": pb.ScoreFusion.Name(found.fusion).removeprefix("SCORE_FUSION_").lower(),
        "only_above_threshold": str(search.only_above_threshold).lower(),
        "several_faces": face_policy(search.several_faces, allow_all=False).name.lower(),
        "top_k": str(top_k(search)),
    }


def derived(photo: bytes, face: common_pb2.Face, model: ModelId) -> Mapping[str, str]:
    """Return by name what was made of a photo, as it was sent or kept, on the way to the embedding of a face."""
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


# How often a case is read anew where a search in it came between it and its audit.
_TRIES = 10


class EvidenceRoom:
    """Makes bundles; `decisions` knows the calibration of the pack.

    `pipeline` measures photos once more, so that the bundle says how what was compared was made.
    """

    def __init__(
        self,
        cases: CaseStore,
        galleries: GalleryCalls,
        pipeline: Pipeline,
        decisions: Decisions,
        clock_ms: Callable[[], int],
    ) -> None:
        self._cases = cases
        self._galleries = galleries
        self._pipeline = pipeline
        self._decisions = decisions
        self._clock_ms = clock_ms

    @property
    def public_key(self) -> str:
        """The key that tells the signatures of bundles, as PEM."""
        return EvidenceSigner(self._cases.evidence_key()).public_key

    def bundle(self, case_id: str, include_unfinished: bool) -> bytes:
        """Return the bundle of a case.

        Raises:
            NotPermitted: it would tell an examiner the ranking of leads of which a finding of theirs is awaited.
            UnknownCase: there is none of that id.
            ReviewUnfinished: an examination waits for a finding, and is not to be taken so.
            InvalidField: the case, with its audit, is more than a bundle holds.
            StoreCorrupt: the audit does not tell of the case.
        """
        case = self._cases.case(case_id)
        examinations, extract = self._told(case)
        if include_unfinished:
            _require_told_already(examinations)
        return b"".join(
            build_bundle(
                case,
                [self._exhibit(one) for one in examinations],
                EvidenceSigner(self._cases.evidence_key()),
                made_ms=self._clock_ms(),
                made_by=current_principal().principal_id,
                audit=extract,
                include_unfinished=include_unfinished,
            )
        )

    def _told(self, case: Case) -> tuple[list[Examination], AuditExtract]:
        """The examinations of a case, and what the audit says of them, or more."""
        for _ in range(_TRIES):
            try:
                examinations = [
                    self._cases.examination(one.examination_id) for one in self._cases.examinations_of(case.case_id)
                ]
            except UnknownExamination:
                raise UnknownCase(message("error.rpc.case_deleted")) from None
            with self._cases.auditing() as audit:
                extract = audit_extract(audit, case)
            if extract.searches == len(examinations):
                return examinations, extract
        raise StoreCorrupt(message("error.rpc.audit_tells_other_searches"), check="audit")

    def _exhibit(self, examination: Examination) -> Exhibit:
        calibration = self._calibration(examination)
        figures = {} if calibration is None else _figures(examination, calibration)
        measured_on = "" if calibration is None else _measured_on(calibration)
        return Exhibit(examination, self._derivations(examination), figures, measured_on)

    def _derivations(self, examination: Examination) -> Mapping[str, object]:
        """Return how the probe and the candidates were made into what was compared, each measured once more."""
        noted: dict[str, object] = {NOTED_AT_THE_SEARCH: dict(examination.searched.derivations)}
        box = [float(part) for part in examination.searched.derivations.get("2_box_px", "").split()]

        def off_the_box(face: EmbeddedFace) -> float:
            """Return the distance from the noted box; without one, 0 for each face, and the largest is taken."""
            return float(np.abs(face.face.detection.box - np.array(box)).sum()) if box else 0.0

        probe, noted["probe"] = self._measured(examination.probe, off_the_box)
        for candidate in examination.candidates:
            if not candidate.photo:
                noted[str(candidate.rank)] = {"photo": "not kept by the gallery"}
                continue

            def off_the_similarity(face: EmbeddedFace, told: float = candidate.similarity) -> float:
                """Return the difference from the noted similarity; 0 without a probe."""
                return 0.0 if probe is None else abs(probe.similarity(face.embedding) - told)

            embedding, measured = self._measured(candidate.photo, off_the_similarity)
            if probe is not None and embedding is not None and probe.model == embedding.model:
                measured = {**measured, "similarity_measured_again": f"{probe.similarity(embedding):.6f}"}
            noted[str(candidate.rank)] = measured
        return noted

    def _measured(
        self, photo: bytes, off: Callable[[EmbeddedFace], float]
    ) -> tuple[Embedding | None, Mapping[str, object]]:
        """Return the embedding of a photo as measured now, and its steps; None and the reason if the photo is refused.

        The photo may show several faces: `off` is least for the face that was compared.
        """
        current_ticket().require_wanted()
        try:
            analyzed = self._pipeline.analyze(photo)
        except InputRefused as refusal:
            return None, {"refused": refusal.reason}
        if not analyzed.faces:
            return None, {"refused": NoFaceFound.reason}
        face, image = min(analyzed.faces, key=off), analyzed.image
        steps = derived(photo, face_message(face.face), face.embedding.model)
        return face.embedding, {"1_size_px": f"{image.width} x {image.height}", **steps}

    def _calibration(self, examination: Examination) -> Calibration | None:
        searched = examination.searched
        if not searched.calibration_id:
            return None
        of_pack = self._decisions.in_force(self._pipeline.model)
        if of_pack is not None and of_pack.id == searched.calibration_id:
            return of_pack.calibration
        try:
            text = self._galleries.calibration(searched.gallery_id)
            if text is not None and calibration_id(text) == searched.calibration_id:
                return calibration_from(text)
        except (UnknownGallery, CalibrationInvalid):
            return None
        return None


def _require_told_already(examinations: Sequence[Examination]) -> None:
    """Require that a bundle tells the caller of no lead that it may still judge, and is not to know the rank of.

    The search told its caller the ranks.
    """
    principal = current_principal()
    if Role.EXAMINER not in principal.roles:
        return
    by = principal.principal_id
    if any(may_examine(one, by) and one.searched.searched_by != by for one in examinations):
        raise NotPermitted(message("error.rpc.bundle_tells_ranking_leads"), field="include_unfinished")


def _figures(examination: Examination, calibration: Calibration) -> dict[int, Figures]:
    found: dict[int, Figures] = {}
    for one in examination.candidates:
        evidence = calibration.log10_lr(one.similarity)
        bound = Bound.EXACT
        if evidence.at_limit and calibration.likelihood.weakest != calibration.likelihood.strongest:
            strongest = evidence.log10_lr == calibration.likelihood.strongest
            bound = Bound.AT_LEAST if strongest else Bound.AT_MOST
        found[one.template_id] = Figures(
            calibration.fmr_at(one.similarity),
            calibration.fnmr_at(one.similarity),
            evidence.log10_lr,
            bound,
            evidence.supported,
        )
    return found


def _measured_on(calibration: Calibration) -> str:
    provenance = calibration.provenance
    return f"{provenance.dataset} ({provenance.measured_on})"
