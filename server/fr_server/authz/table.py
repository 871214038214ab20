"""The one table of who may call what; docs/access.md is made of it. A method that is not in it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from fr_server.authz.rules import Coarse, Kind, Rule, Scoped, ScopeKind, Stated, Variant
from fr_trust.access.roles import Role

_EVERYBODY = frozenset(Role)
_TRAINEE, _TRAINER, _OPERATOR = (frozenset({role}) for role in (Role.TRAINEE, Role.TRAINER, Role.OPERATOR))
_EXAMINER, _AUDITOR, _ADMIN = (frozenset({role}) for role in (Role.EXAMINER, Role.AUDITOR, Role.ADMIN))

_GALLERY = (Scoped(ScopeKind.GALLERY, "gallery_id"),)
_COURSE = (Scoped(ScopeKind.COURSE, "course_id"),)
_COHORT = (Scoped(ScopeKind.COHORT, "cohort_id"),)
_TRAINEE_ID = (Scoped(ScopeKind.TRAINEE, "trainee_id"),)
_SESSION = (Scoped(ScopeKind.SESSION, "session_id"),)
_CODE = (Scoped(ScopeKind.CODE, "code"),)
_CASE = (Scoped(ScopeKind.CASE, "case_id"),)
_EXAMINATION = (Scoped(ScopeKind.EXAMINATION, "examination_id"),)

_RECOGNITION = {
    "Detect": Rule(
        roles=_OPERATOR | _EXAMINER,
        why="Operators prepare probes; examiners look at the photos that they judge.",
        kind=Kind.COMPUTE,
        recorded=True,
    ),
    "Embed": Rule(
        roles=_OPERATOR,
        why="Anyone can search with a template anywhere; only people who enrol and search need one.",
        kind=Kind.COMPUTE,
        coarse=Coarse.REFUSED,
        recorded=True,
    ),
    "Compare": Rule(
        roles=_OPERATOR,
        why="Operators compare photos. It would tell examiners similarities while they are blind, and trainees the "
        "answers of their trials.",
        kind=Kind.COMPUTE,
        probes=("a", "b"),
        coarse=Coarse.ROUNDED,
        recorded=True,
    ),
    "StreamEmbed": Rule(roles=_OPERATOR, why="As Embed.", kind=Kind.COMPUTE, coarse=Coarse.REFUSED, recorded=True),
}

_KEEPS_GALLERIES = "People who search a gallery may not decide what it is for, or how long it keeps faces."
_GIVES_MEANING = "People who search a gallery may not decide what its similarities mean."
_ENROLS = "Operators maintain the content of galleries."
_DESCRIBES = "Operators use galleries, admins manage them, auditors see their use. The answer names no person."
_SUBJECTS = "Operators maintain subjects; admins look them up to delete them."
_DELETES = "Operators maintain galleries; admins delete what must not stay."
_SCANS = "It searches for everybody in the gallery, as only operators may."

_GALLERIES = {
    "CreateGallery": Rule(
        roles=_ADMIN,
        why=f"{_KEEPS_GALLERIES} People who make one may not search.",
        kind=Kind.CHANGE,
        scoped=(Scoped(ScopeKind.GALLERY, "gallery_id", creates=True),),
        recorded=True,
    ),
    "GetGallery": Rule(roles=_OPERATOR | _AUDITOR | _ADMIN, why=_DESCRIBES, kind=Kind.READ, scoped=_GALLERY),
    "ListGalleries": Rule(roles=_OPERATOR | _AUDITOR | _ADMIN, why=_DESCRIBES, kind=Kind.READ, lists=True),
    "UpdateGallery": Rule(roles=_ADMIN, why=_KEEPS_GALLERIES, kind=Kind.CHANGE, scoped=_GALLERY, recorded=True),
    "DeleteGallery": Rule(roles=_ADMIN, why=_KEEPS_GALLERIES, kind=Kind.CHANGE, scoped=_GALLERY, recorded=True),
    "Enrol": Rule(
        roles=_OPERATOR,
        why=f"{_ENROLS} With `report_similar` it is a search too.",
        kind=Kind.CHANGE,
        scoped=_GALLERY,
        search_if="report_similar",
        probes=("face",),
        recorded=True,
    ),
    "StreamEnrol": Rule(
        roles=_OPERATOR,
        why="As Enrol.",
        kind=Kind.CHANGE,
        scoped=(Scoped(ScopeKind.GALLERY, "enrol.gallery_id"),),
        search_if="enrol.report_similar",
        probes=("enrol.face",),
        recorded=True,
    ),
    "StreamEnrolEmbeddings": Rule(
        roles=_OPERATOR,
        why="As Enrol.",
        kind=Kind.CHANGE,
        scoped=(Scoped(ScopeKind.GALLERY, "enrol.gallery_id"),),
        coarse=Coarse.REFUSED,
        recorded=True,
    ),
    "Search": Rule(
        roles=_OPERATOR | _TRAINEE,
        why="Operators search. Trainees search only galleries that their key names one by one.",
        kind=Kind.COMPUTE,
        scoped=_GALLERY,
        named_only=_TRAINEE,
        counts_as_search=True,
        probes=("probe",),
        coarse=Coarse.ROUNDED,
        recorded=True,
        stated=Stated.INQUIRY,
    ),
    "StreamSearch": Rule(
        roles=_OPERATOR,
        why="Only operators make many searches.",
        kind=Kind.COMPUTE,
        scoped=(Scoped(ScopeKind.GALLERY, "search.gallery_id"),),
        counts_as_search=True,
        probes=("search.probe",),
        coarse=Coarse.ROUNDED,
        recorded=True,
        stated=Stated.INQUIRY,
    ),
    "GetSubject": Rule(
        roles=_OPERATOR | _ADMIN, why=_SUBJECTS, kind=Kind.READ, scoped=_GALLERY, recorded=True, stated=Stated.PURPOSE
    ),
    "ListSubjects": Rule(
        roles=_OPERATOR | _ADMIN, why=_SUBJECTS, kind=Kind.READ, scoped=_GALLERY, recorded=True, stated=Stated.PURPOSE
    ),
    "UpdateSubject": Rule(
        roles=_OPERATOR, why=_ENROLS, kind=Kind.CHANGE, scoped=_GALLERY, recorded=True, stated=Stated.PURPOSE
    ),
    "GetTemplate": Rule(
        roles=_OPERATOR,
        why="It gives out the photo of a template. Examiners see photos in their examinations.",
        kind=Kind.READ,
        scoped=_GALLERY,
        counts_as_search=True,
        coarse=Coarse.ROUNDED,
        recorded=True,
        stated=Stated.PURPOSE,
    ),
    "DeleteSubject": Rule(roles=_OPERATOR | _ADMIN, why=_DELETES, kind=Kind.CHANGE, scoped=_GALLERY, recorded=True),
    "EraseSubject": Rule(roles=_OPERATOR | _ADMIN, why=_DELETES, kind=Kind.CHANGE, scoped=_GALLERY, recorded=True),
    "DeleteTemplate": Rule(roles=_OPERATOR | _ADMIN, why=_DELETES, kind=Kind.CHANGE, scoped=_GALLERY, recorded=True),
    "SetCalibration": Rule(roles=_ADMIN, why=_GIVES_MEANING, kind=Kind.CHANGE, scoped=_GALLERY, recorded=True),
    "DeleteCalibration": Rule(roles=_ADMIN, why=_GIVES_MEANING, kind=Kind.CHANGE, scoped=_GALLERY, recorded=True),
    "GetCalibration": Rule(
        roles=_OPERATOR | _EXAMINER | _AUDITOR | _ADMIN,
        why="People who read or check an answer need its error rates.",
        kind=Kind.READ,
        scoped=_GALLERY,
    ),
    "PurgeExpired": Rule(
        roles=_ADMIN,
        why="It deletes, in every gallery, what the server deletes hourly anyway. It lists those in scope.",
        kind=Kind.CHANGE,
        lists=True,
        recorded=True,
    ),
    "FindDuplicates": Rule(
        roles=_OPERATOR,
        why=_SCANS,
        kind=Kind.COMPUTE,
        scoped=_GALLERY,
        counts_as_search=True,
        coarse=Coarse.REFUSED,
        recorded=True,
        stated=Stated.PURPOSE,
    ),
    "ClusterGallery": Rule(
        roles=_OPERATOR,
        why=_SCANS,
        kind=Kind.COMPUTE,
        scoped=_GALLERY,
        counts_as_search=True,
        coarse=Coarse.REFUSED,
        recorded=True,
        stated=Stated.PURPOSE,
    ),
}

_MEASURES = "Trainers need data sets and the model's errors; admins set calibrations from them. It touches no gallery."
_KEEPS_REPORTS = "It keeps a report."

_EVALUATION = {
    "ListDatasets": Rule(roles=_TRAINER | _ADMIN, why=_MEASURES, kind=Kind.READ),
    "RunVerification": Rule(
        roles=_TRAINER | _ADMIN, why=f"{_MEASURES} {_KEEPS_REPORTS}", kind=Kind.CHANGE, recorded=True, chained=False
    ),
    "RunIdentification": Rule(
        roles=_TRAINER | _ADMIN, why=f"{_MEASURES} {_KEEPS_REPORTS}", kind=Kind.CHANGE, recorded=True, chained=False
    ),
    "GetReport": Rule(
        roles=_TRAINER | _ADMIN, why=f"{_MEASURES} Its pages may show photos.", kind=Kind.READ, recorded=True
    ),
    "ListReports": Rule(
        roles=_TRAINER | _AUDITOR | _ADMIN, why=f"{_MEASURES} Auditors see which figures there are.", kind=Kind.READ
    ),
    "DeleteReport": Rule(
        roles=_TRAINER | _ADMIN,
        why="People who measure also delete their reports.",
        kind=Kind.CHANGE,
        recorded=True,
        chained=False,
    ),
}

_TEACHES = "Trainers make courses and are responsible for them."
_COHORTS = "Trainers manage their trainees; nobody else sees results."
_TAKES = "Only the trainee with this session or code."

_TRAINING = {
    "ListPlans": Rule(roles=_TRAINER, why=_TEACHES, kind=Kind.READ),
    "CheckPlan": Rule(roles=_TRAINER, why=_TEACHES, kind=Kind.COMPUTE),
    "CreateCourse": Rule(
        roles=_TRAINER,
        why=f"{_TEACHES} The server names a new course, so the scope must cover all courses.",
        kind=Kind.CHANGE,
        scoped=(Scoped(ScopeKind.COURSE, "", creates=True), Scoped(ScopeKind.COURSE, "learn_from")),
    ),
    "GetCourse": Rule(roles=_TRAINER, why=_TEACHES, kind=Kind.READ, scoped=_COURSE),
    "ListCourses": Rule(roles=_TRAINER, why=_TEACHES, kind=Kind.READ, lists=True),
    "DeleteCourse": Rule(roles=_TRAINER, why=_TEACHES, kind=Kind.CHANGE, scoped=_COURSE),
    "SetProbeKey": Rule(roles=_TRAINER, why=_TEACHES, kind=Kind.CHANGE, scoped=_COURSE),
    "CreateCohort": Rule(roles=_TRAINER, why=_COHORTS, kind=Kind.CHANGE, scoped=_COURSE),
    "AddTrainees": Rule(roles=_TRAINER, why=_COHORTS, kind=Kind.CHANGE, scoped=_COHORT),
    "GetCohort": Rule(roles=_TRAINER, why=_COHORTS, kind=Kind.READ, scoped=_COHORT, recorded=True),
    "ListCohorts": Rule(roles=_TRAINER, why=_COHORTS, kind=Kind.READ, scoped=_COURSE, lists=True),
    "WatchCohort": Rule(roles=_TRAINER, why=_COHORTS, kind=Kind.READ, scoped=_COHORT, recorded=True),
    "DeleteCohort": Rule(roles=_TRAINER, why=_COHORTS, kind=Kind.CHANGE, scoped=_COHORT),
    "DeleteTrainee": Rule(roles=_TRAINER, why=_COHORTS, kind=Kind.CHANGE, scoped=_TRAINEE_ID),
    "JoinCourse": Rule(roles=_TRAINEE, why=_TAKES, kind=Kind.READ, scoped=_CODE),
    "StartSession": Rule(roles=_TRAINEE, why=_TAKES, kind=Kind.CHANGE, scoped=_CODE),
    "NextTrial": Rule(roles=_TRAINEE, why=_TAKES, kind=Kind.CHANGE, scoped=_SESSION),
    "SubmitProbe": Rule(
        roles=_TRAINEE,
        why=f"{_TAKES} The server searches for it in the gallery of the course.",
        kind=Kind.CHANGE,
        scoped=_SESSION,
        counts_as_search=True,
        recorded=True,
    ),
    "LockNotes": Rule(roles=_TRAINEE, why=_TAKES, kind=Kind.CHANGE, scoped=_SESSION),
    "SubmitDecision": Rule(
        roles=_TRAINEE, why=_TAKES, kind=Kind.CHANGE, scoped=_SESSION, coarse=Coarse.ROUNDED, recorded=True
    ),
    "PauseSession": Rule(roles=_TRAINEE, why=_TAKES, kind=Kind.CHANGE, scoped=_SESSION),
    "ResumeSession": Rule(roles=_TRAINEE, why=_TAKES, kind=Kind.CHANGE, scoped=_SESSION),
    "FinishSession": Rule(roles=_TRAINEE, why=_TAKES, kind=Kind.CHANGE, scoped=_SESSION),
    "GetTrainingReport": Rule(
        roles=_TRAINEE | _TRAINER,
        why="Trainees read their own, with their code; trainers those of their trainees and cohorts.",
        kind=Kind.READ,
        scoped=(*_CODE, *_TRAINEE_ID, *_COHORT),
        variants=(Variant("code", _TRAINEE), Variant("trainee_id", _TRAINER), Variant("cohort_id", _TRAINER)),
        recorded=True,
    ),
    "ExportResults": Rule(roles=_TRAINER, why=_COHORTS, kind=Kind.READ, scoped=_COHORT, recorded=True),
}

_SERVER = {
    "GetServerInfo": Rule(
        roles=_EVERYBODY, why="Every client needs the model and the limits. The answer names no person.", kind=Kind.READ
    )
}

_KEYS = "People who hand out keys do not work with them."
_SEES_ALL = "A key of an admin or auditor counts as access to everything."

_ACCESS = {
    "WhoAmI": Rule(roles=_EVERYBODY, why="Every caller may know what their own key allows.", kind=Kind.READ),
    "CreateKey": Rule(roles=_ADMIN, why=_KEYS, kind=Kind.CHANGE, recorded=True),
    "ListKeys": Rule(
        roles=_ADMIN | _AUDITOR,
        why=f"{_KEYS} Admins see keys with no wider access than their own, auditors see all. {_SEES_ALL}",
        kind=Kind.READ,
        lists=True,
        recorded=True,
    ),
    "RotateKey": Rule(
        roles=_EVERYBODY,
        why="Every caller may change the secret of their own key. Admins change that of others; the new secret is "
        "valid at once, or two people would use one key. For a key with wider access than the caller's, the answer is "
        f"that it does not exist. {_SEES_ALL} Callers who are not admins get that answer for every other key.",
        kind=Kind.CHANGE,
        recorded=True,
    ),
    "RevokeKey": Rule(
        roles=_ADMIN,
        why=f"{_KEYS} For a key with wider access than the caller's, the answer is that it does not exist. {_SEES_ALL}",
        kind=Kind.CHANGE,
        recorded=True,
    ),
}

_AUDITS = "People may not check themselves. A chain is read as a whole: scopes do not divide it."

_AUDIT = {
    "SearchAudit": Rule(roles=_AUDITOR, why=_AUDITS, kind=Kind.READ, recorded=True),
    "ExportAudit": Rule(roles=_AUDITOR, why=_AUDITS, kind=Kind.READ, recorded=True),
    "VerifyAudit": Rule(roles=_AUDITOR, why=_AUDITS, kind=Kind.READ, recorded=True),
    "GetCheckpoints": Rule(roles=_AUDITOR, why=_AUDITS, kind=Kind.READ, recorded=True),
}

_KEEPS_CASES = "Operators open cases and search for them."
_READS_CASES = "Operators manage cases; examiners read them."
_EXAMINES = "Only examiners, who did not search, judge leads."

_REVIEW = {
    "OpenCase": Rule(roles=_OPERATOR, why=_KEEPS_CASES, kind=Kind.CHANGE, recorded=True),
    "GetCase": Rule(
        roles=_OPERATOR | _EXAMINER, why=_READS_CASES, kind=Kind.READ, scoped=_CASE, recorded=True, stated=Stated.CASE
    ),
    "ListCases": Rule(roles=_OPERATOR | _EXAMINER, why=_READS_CASES, kind=Kind.READ, lists=True, recorded=True),
    "CloseCase": Rule(roles=_OPERATOR, why=_KEEPS_CASES, kind=Kind.CHANGE, scoped=_CASE, recorded=True),
    "DeleteCase": Rule(
        roles=_ADMIN,
        why="People who searched or judged may not delete the evidence.",
        kind=Kind.CHANGE,
        scoped=_CASE,
        recorded=True,
    ),
    "SearchInCase": Rule(
        roles=_OPERATOR,
        why=_KEEPS_CASES,
        kind=Kind.CHANGE,
        scoped=(*_CASE, Scoped(ScopeKind.GALLERY, "search.gallery_id")),
        counts_as_search=True,
        probes=("search.probe",),
        coarse=Coarse.ROUNDED,
        recorded=True,
        stated=Stated.CASE,
    ),
    "ListAwaiting": Rule(roles=_EXAMINER, why=_EXAMINES, kind=Kind.READ, lists=True, recorded=True),
    "GetExamination": Rule(
        roles=_OPERATOR | _EXAMINER,
        why=f"{_EXAMINES} Operators see its conclusion.",
        kind=Kind.READ,
        scoped=_EXAMINATION,
        coarse=Coarse.ROUNDED,
        recorded=True,
        stated=Stated.CASE,
    ),
    "SubmitFinding": Rule(
        roles=_EXAMINER,
        why=_EXAMINES,
        kind=Kind.CHANGE,
        scoped=_EXAMINATION,
        coarse=Coarse.ROUNDED,
        recorded=True,
        stated=Stated.CASE,
    ),
    "ExportEvidence": Rule(
        roles=_OPERATOR,
        why="People who manage a case pass its evidence on.",
        kind=Kind.READ,
        scoped=_CASE,
        coarse=Coarse.REFUSED,
        recorded=True,
        stated=Stated.CASE,
    ),
}

_SERVICES: Mapping[str, Mapping[str, Rule]] = {
    "RecognitionService": _RECOGNITION,
    "GalleryService": _GALLERIES,
    "EvaluationService": _EVALUATION,
    "TrainingService": _TRAINING,
    "ServerService": _SERVER,
    "AccessService": _ACCESS,
    "AuditService": _AUDIT,
    "ReviewService": _REVIEW,
}

RULES: Mapping[str, Rule] = MappingProxyType(
    {f"/fr_api.v1.{service}/{name}": rule for service, rules in _SERVICES.items() for name, rule in rules.items()}
)
"""Full name of the method, as gRPC has it ("/fr_api.v1.GalleryService/Search") -> its rule."""
