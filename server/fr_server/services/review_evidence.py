"""Evidence of a case: put together from its store, its audit, the calibrations, and the photos measured once more."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fr_core.align import ARCFACE_TEMPLATE, CROP_SIZE, similarity_transform
from fr_core.audit.export import export
from fr_core.audit.search import Filter, search
from fr_core.casework.store import CaseStore
from fr_core.casework.values import Case, Examination
from fr_core.errors import CalibrationInvalid, InputRefused, UnknownCase, UnknownExamination, UnknownGallery
from fr_core.evidence.bundle import build_bundle
from fr_core.evidence.signing import Ed25519Signer
from fr_core.evidence.values import AuditExtract, Bound, Exhibit, Figures
from fr_core.gallery.values import calibration_id
from fr_core.pipeline import Pipeline
from fr_core.runtime.ticket import current_ticket
from fr_core.scoring.calibration import Calibration
from fr_core.types import EmbeddedFace, Embedding
from fr_server.access.callers import current_principal
from fr_server.convert.calibration import calibration_from
from fr_server.services.decisions import Decisions
from fr_server.services.gallery_calls import GalleryCalls


class EvidenceRoom:
    """Makes bundles.

    Args:
        cases: keeps the cases.
        galleries: keep calibrations.
        pipeline: measures photos once more, so that the bundle says how what was compared was made.
        decisions: knows the calibration of the pack.
        clock_ms: milliseconds since 1970, UTC.
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
        return Ed25519Signer(self._cases.evidence_key()).public_key

    def bundle(self, case_id: str, include_unfinished: bool) -> bytes:
        """Return the bundle of a case.

        Raises:
            UnknownCase: there is none of that id.
            ReviewUnfinished: an examination waits for a finding, and is not to be taken so.
        """
        case = self._cases.case(case_id)
        try:
            exhibits = [
                self._exhibit(self._cases.examination(one.examination_id))
                for one in self._cases.examinations_of(case_id)
            ]
        except UnknownExamination:
            raise UnknownCase("The case was deleted.") from None
        pieces = build_bundle(
            case,
            exhibits,
            Ed25519Signer(self._cases.evidence_key()),
            made_ms=self._clock_ms(),
            made_by=current_principal().principal_id,
            audit=self._audit(case),
            include_unfinished=include_unfinished,
        )
        return b"".join(pieces)

    def _audit(self, case: Case) -> AuditExtract:
        """What the audit of cases says, from when the case was opened on; others stand in it under pseudonyms."""
        with self._cases.auditing() as audit:
            pseudonym = audit.pseudonyms().case(case.reference)
            opened = Filter(action="case.open", case=pseudonym, since_ms=case.opened_ms)
            found = search(audit, opened, 0, 1).records
            before = found[0].record.seq - 1 if found else 0
            lines = b"".join(export(audit, before))
            return AuditExtract(lines, audit.checkpoint().to_json(), audit.public_pem())

    def _exhibit(self, examination: Examination) -> Exhibit:
        calibration = self._calibration(examination)
        figures = {} if calibration is None else _figures(examination, calibration)
        measured_on = "" if calibration is None else _measured_on(calibration)
        return Exhibit(examination, self._derivations(examination), figures, measured_on)

    def _derivations(self, examination: Examination) -> Mapping[str, object]:
        """How the probe and the candidates were made into what was compared, each measured once more."""
        noted: dict[str, object] = {"noted_at_the_search": dict(examination.searched.derivations)}
        probe, noted["probe"] = self._measured(examination.probe)
        for candidate in examination.candidates:
            if not candidate.photo:
                noted[str(candidate.rank)] = {"photo": "not kept by the gallery"}
                continue
            embedding, measured = self._measured(candidate.photo)
            if probe is not None and embedding is not None and probe.model == embedding.model:
                measured = {**measured, "similarity_measured_again": f"{probe.similarity(embedding):.6f}"}
            noted[str(candidate.rank)] = measured
        return noted

    def _measured(self, photo: bytes) -> tuple[Embedding | None, Mapping[str, object]]:
        """What the pipeline makes of the largest face of a photo now; None and why, where it makes nothing."""
        current_ticket().require_wanted()
        try:
            analyzed = self._pipeline.analyze(photo)
        except InputRefused as refusal:
            return None, {"refused": refusal.reason}
        if not analyzed.faces:
            return None, {"refused": "NO_FACE"}
        face = analyzed.faces[0]
        return face.embedding, _steps(face, analyzed.image.width, analyzed.image.height)

    def _calibration(self, examination: Examination) -> Calibration | None:
        """The calibration that the search was answered by; None where there was none, or it is not there any more."""
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


def _steps(face: EmbeddedFace, width: int, height: int) -> Mapping[str, object]:
    detection, quality = face.face.detection, face.face.quality
    matrix = similarity_transform(detection.landmarks, ARCFACE_TEMPLATE)
    return {
        "decoded": f"{width} x {height} pixels, EXIF orientation applied, 8-bit RGB as stored, colour profile not applied",
        "box_px": [f"{value:.2f}" for value in detection.box.tolist()],
        "detector_score": f"{detection.score:.4f}",
        "landmarks_px": [[f"{x:.2f}", f"{y:.2f}"] for x, y in detection.landmarks.tolist()],
        "crop": f"{CROP_SIZE} x {CROP_SIZE} pixels, bilinear, by the similarity transform below",
        "similarity_transform": [[f"{value:.6f}" for value in row] for row in matrix.tolist()],
        "quality": f"{quality.score:.4f}",
        "quality_reasons": [str(reason) for reason in quality.reasons],
        "embedding": f"of the crop, by {face.embedding.model}, brought to length 1",
    }
