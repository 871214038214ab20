"""The one table of who may call what; docs/access.md is made of it. A method that is not in it is refused."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from fr_server.authz.rules import Coarse, Kind, Rule, Scoped, ScopeKind, Stated, Variant
from fr_trust.access.principal import Role

_EVERYBODY = frozenset(Role)
_TRAINEE, _TRAINER, _OPERATOR = (frozenset({role}) for role in (Role.TRAINEE, Role.TRAINER, Role.OPERATOR))
_EXAMINER, _AUDITOR, _ADMIN = (frozenset({role}) for role in (Role.EXAMINER, Role.AUDITOR, Role.ADMIN))

_recorded = partial(Rule, recorded=True)
_READ, _CHANGE, _COMPUTE = Kind.READ, Kind.CHANGE, Kind.COMPUTE

_GALLERY = (Scoped(ScopeKind.GALLERY, "gallery_id"),)
_COURSE = (Scoped(ScopeKind.COURSE, "course_id"),)
_COHORT = (Scoped(ScopeKind.COHORT, "cohort_id"),)
_TRAINEE_ID = (Scoped(ScopeKind.TRAINEE, "trainee_id"),)
_SESSION = (Scoped(ScopeKind.SESSION, "session_id"),)
_CODE = (Scoped(ScopeKind.CODE, "code"),)
_CASE = (Scoped(ScopeKind.CASE, "case_id"),)
_EXAMINATION = (Scoped(ScopeKind.EXAMINATION, "examination_id"),)

_RECOGNITION = {
    "Detect": _recorded(
        _OPERATOR | _EXAMINER, _COMPUTE, "Operators prepare probes; examiners look at the photos that they judge."
    ),
    "Embed": _recorded(
        _OPERATOR,
        _COMPUTE,
        "A template lets its holder search anywhere; only people who enrol and search need one.",
        coarse=Coarse.REFUSED,
    ),
    "Compare": _recorded(
        _OPERATOR,
        _COMPUTE,
        "Operators compare photos. Compare would tell examiners similarities before they judge, and trainees the "
        "answers of their trials.",
        probes=("a", "b"),
        coarse=Coarse.ROUNDED,
    ),
    "BatchEmbed": _recorded(_OPERATOR, _COMPUTE, "As Embed.", coarse=Coarse.REFUSED, items="images"),
    "StreamEmbed": _recorded(_OPERATOR, _COMPUTE, "As Embed.", coarse=Coarse.REFUSED),
}

_KEEPS_GALLERIES = "People who search a gallery may not decide what it is for, or how long it keeps faces."
_GIVES_MEANING = "People who search a gallery may not decide what its similarities mean."
_ENROLS = "Operators maintain the content of galleries."
_DESCRIBES = "Operators use galleries, admins manage them, auditors see their use. The answer names no person."
_SUBJECTS = "Operators maintain subjects; admins look them up to delete them."
_DELETES = "Operators maintain galleries; admins delete what must not stay."
_SCANS = "It searches for everybody in the gallery, as only operators may."

_GALLERIES = {
    "CreateGallery": _recorded(
        _ADMIN,
        _CHANGE,
        f"{_KEEPS_GALLERIES} People who make one may not search.",
        (Scoped(ScopeKind.GALLERY, "gallery_id", creates=True),),
    ),
    "GetGallery": Rule(_OPERATOR | _AUDITOR | _ADMIN, _READ, _DESCRIBES, _GALLERY),
    "ListGalleries": Rule(_OPERATOR | _AUDITOR | _ADMIN, _READ, _DESCRIBES, lists=True),
    "UpdateGallery": _recorded(_ADMIN, _CHANGE, _KEEPS_GALLERIES, _GALLERY),
    "DeleteGallery": _recorded(_ADMIN, _CHANGE, _KEEPS_GALLERIES, _GALLERY),
    "Enrol": _recorded(
        _OPERATOR,
        _CHANGE,
        f"{_ENROLS} With `report_similar` it is a search too.",
        _GALLERY,
        search_if="report_similar",
        probes=("face",),
    ),
    "StreamEnrol": _recorded(
        _OPERATOR,
        _CHANGE,
        "As Enrol.",
        (Scoped(ScopeKind.GALLERY, "enrol.gallery_id"),),
        search_if="enrol.report_similar",
        probes=("enrol.face",),
    ),
    "StreamEnrolEmbeddings": _recorded(
        _OPERATOR, _CHANGE, "As Enrol.", (Scoped(ScopeKind.GALLERY, "enrol.gallery_id"),), coarse=Coarse.REFUSED
    ),
    "Search": _recorded(
        _OPERATOR | _TRAINEE,
        _COMPUTE,
        "Operators search. Trainees search only galleries that their key names one by one.",
        _GALLERY,
        named_only=_TRAINEE,
        counts_as_search=True,
        probes=("probe",),
        coarse=Coarse.ROUNDED,
        stated=Stated.INQUIRY,
    ),
    "StreamSearch": _recorded(
        _OPERATOR,
        _COMPUTE,
        "Only operators make many searches.",
        (Scoped(ScopeKind.GALLERY, "search.gallery_id"),),
        counts_as_search=True,
        probes=("search.probe",),
        coarse=Coarse.ROUNDED,
        stated=Stated.INQUIRY,
    ),
    "GetSubject": _recorded(_OPERATOR | _ADMIN, _READ, _SUBJECTS, _GALLERY, stated=Stated.PURPOSE),
    "ListSubjects": _recorded(_OPERATOR | _ADMIN, _READ, _SUBJECTS, _GALLERY, stated=Stated.PURPOSE),
    "UpdateSubject": _recorded(_OPERATOR, _CHANGE, _ENROLS, _GALLERY, stated=Stated.PURPOSE),
    "GetTemplate": _recorded(
        _OPERATOR,
        _READ,
        "It gives out the photo of a template. Examiners see photos in their examinations.",
        _GALLERY,
        counts_as_search=True,
        coarse=Coarse.ROUNDED,
        stated=Stated.PURPOSE,
    ),
    "DeleteSubject": _recorded(_OPERATOR | _ADMIN, _CHANGE, _DELETES, _GALLERY),
    "EraseSubject": _recorded(_OPERATOR | _ADMIN, _CHANGE, _DELETES, _GALLERY),
    "DeleteTemplate": _recorded(_OPERATOR | _ADMIN, _CHANGE, _DELETES, _GALLERY),
    "SetCalibration": _recorded(_ADMIN, _CHANGE, _GIVES_MEANING, _GALLERY),
    "DeleteCalibration": _recorded(_ADMIN, _CHANGE, _GIVES_MEANING, _GALLERY),
    "GetCalibration": Rule(
        _OPERATOR | _EXAMINER | _AUDITOR | _ADMIN,
        _READ,
        "People who read or check an answer need its error rates.",
        _GALLERY,
    ),
    "PurgeExpired": _recorded(
        _ADMIN,
        _CHANGE,
        "It deletes, in every gallery, what the server deletes hourly anyway. It lists the galleries in scope.",
        lists=True,
    ),
    "FindDuplicates": _recorded(
        _OPERATOR, _COMPUTE, _SCANS, _GALLERY, counts_as_search=True, coarse=Coarse.REFUSED, stated=Stated.PURPOSE
    ),
    "ClusterGallery": _recorded(
        _OPERATOR, _COMPUTE, _SCANS, _GALLERY, counts_as_search=True, coarse=Coarse.REFUSED, stated=Stated.PURPOSE
    ),
}

_MEASURES = "Trainers need data sets and the model's errors; admins set calibrations from them. It touches no gallery."
_KEEPS_REPORTS = "It keeps a report."

_EVALUATION = {
    "ListDatasets": Rule(_TRAINER | _ADMIN, _READ, _MEASURES),
    "RunVerification": _recorded(_TRAINER | _ADMIN, _CHANGE, f"{_MEASURES} {_KEEPS_REPORTS}", chained=False),
    "RunIdentification": _recorded(_TRAINER | _ADMIN, _CHANGE, f"{_MEASURES} {_KEEPS_REPORTS}", chained=False),
    "GetReport": _recorded(_TRAINER | _ADMIN, _READ, f"{_MEASURES} Its pages may show photos."),
    "ListReports": Rule(_TRAINER | _AUDITOR | _ADMIN, _READ, f"{_MEASURES} Auditors see which figures there are."),
    "DeleteReport": _recorded(
        _TRAINER | _ADMIN, _CHANGE, "People who measure also delete their reports.", chained=False
    ),
}

_TEACHES = "Trainers make courses and are responsible for them."
_COHORTS = "Trainers manage their trainees; nobody else sees results."
_TAKES = "Only the trainee with this session or code."

_TRAINING = {
    "ListPlans": Rule(_TRAINER, _READ, _TEACHES),
    "CheckPlan": Rule(_TRAINER, _COMPUTE, _TEACHES),
    "CreateCourse": Rule(
        _TRAINER,
        _CHANGE,
        f"{_TEACHES} The server names a new course, so the scope must cover all courses.",
        (Scoped(ScopeKind.COURSE, "", creates=True), Scoped(ScopeKind.COURSE, "learn_from")),
    ),
    "GetCourse": Rule(_TRAINER, _READ, _TEACHES, _COURSE),
    "ListCourses": Rule(_TRAINER, _READ, _TEACHES, lists=True),
    "ListFormItems": _recorded(_TRAINER, _READ, f"{_TEACHES} It shows the right answers.", _COURSE),
    "DeleteCourse": Rule(_TRAINER, _CHANGE, _TEACHES, _COURSE),
    "SetProbeKey": Rule(_TRAINER, _CHANGE, _TEACHES, _COURSE),
    "CreateCohort": Rule(_TRAINER, _CHANGE, _COHORTS, _COURSE),
    "AddTrainees": Rule(_TRAINER, _CHANGE, _COHORTS, _COHORT),
    "JoinFromPlatform": Rule(
        _TRAINER,
        _CHANGE,
        f"{_COHORTS} The console uses a trainer's key of its own for trainees who come from a platform.",
        _COHORT,
    ),
    "GetCohort": _recorded(_TRAINER, _READ, _COHORTS, _COHORT),
    "ListCohorts": Rule(_TRAINER, _READ, _COHORTS, _COURSE, lists=True),
    "WatchCohort": _recorded(_TRAINER, _READ, _COHORTS, _COHORT),
    "SetSittingClosed": Rule(_TRAINER, _CHANGE, _COHORTS, _COHORT),
    "ExtendTime": Rule(_TRAINER, _CHANGE, _COHORTS, (*_COHORT, *_TRAINEE_ID)),
    "DeleteCohort": Rule(_TRAINER, _CHANGE, _COHORTS, _COHORT),
    "DeleteTrainee": Rule(_TRAINER, _CHANGE, _COHORTS, _TRAINEE_ID),
    "ReleaseItems": Rule(_TRAINER, _CHANGE, "Trainers decide when their trainees may know the right answers.", _COHORT),
    "GetClassItem": _recorded(_TRAINER, _READ, _COHORTS, _COHORT),
    "JoinCourse": Rule(_TRAINEE, _READ, _TAKES, _CODE),
    "GetSittingScore": Rule(_TRAINEE, _READ, _TAKES, _CODE),
    "StartSession": Rule(_TRAINEE, _CHANGE, _TAKES, _CODE),
    "NextTrial": Rule(_TRAINEE, _CHANGE, _TAKES, _SESSION),
    "SubmitProbe": _recorded(
        _TRAINEE,
        _CHANGE,
        f"{_TAKES} The server searches the course's gallery for the probe.",
        _SESSION,
        counts_as_search=True,
    ),
    "SaveDraft": Rule(_TRAINEE, _CHANGE, _TAKES, _SESSION),
    "LockNotes": Rule(_TRAINEE, _CHANGE, _TAKES, _SESSION),
    "SubmitDecision": _recorded(_TRAINEE, _CHANGE, _TAKES, _SESSION, coarse=Coarse.ROUNDED),
    "PauseSession": Rule(_TRAINEE, _CHANGE, _TAKES, _SESSION),
    "ResumeSession": Rule(_TRAINEE, _CHANGE, _TAKES, _SESSION),
    "FinishSession": Rule(_TRAINEE, _CHANGE, _TAKES, _SESSION),
    "ListReview": _recorded(_TRAINEE, _READ, _TAKES, _CODE),
    "GetReview": _recorded(_TRAINEE, _READ, _TAKES, _CODE, coarse=Coarse.ROUNDED),
    "GetTrainingReport": _recorded(
        _TRAINEE | _TRAINER,
        _READ,
        "Trainees read their own report, with their code; trainers read the reports of their trainees and cohorts.",
        (*_CODE, *_TRAINEE_ID, *_COHORT),
        variants=(Variant("code", _TRAINEE), Variant("trainee_id", _TRAINER), Variant("cohort_id", _TRAINER)),
    ),
    "ExportResults": _recorded(_TRAINER, _READ, _COHORTS, _COHORT),
    "GetManual": Rule(_EVERYBODY, _READ, "Everybody who works here needs the manual. The answer names no person."),
    "GetLessonPackage": Rule(_TRAINER, _READ, f"{_TEACHES} The package contains the right answers."),
}

_SERVER = {
    "GetServerInfo": Rule(
        _EVERYBODY, _READ, "Every client needs the model and the limits. The answer names no person."
    ),
    "GetServerStatus": Rule(
        _ADMIN | _AUDITOR, _READ, "People who look after the server see what fails. The answer names no person."
    ),
}

_KEYS = "People who hand out keys do not work with them."
_SEES_ALL = "A key of an admin or auditor counts as access to everything."

_ACCESS = {
    "WhoAmI": Rule(_EVERYBODY, _READ, "Every caller may know what their own key allows."),
    "CreateKey": _recorded(_ADMIN, _CHANGE, _KEYS),
    "ListKeys": _recorded(
        _ADMIN | _AUDITOR,
        _READ,
        f"{_KEYS} Admins see keys with no wider access than their own, auditors see all. {_SEES_ALL}",
        lists=True,
    ),
    "RotateKey": _recorded(
        _EVERYBODY,
        _CHANGE,
        "Every caller may change the secret of their own key. Admins may change the secrets of others; the old secret "
        "then ends immediately, because otherwise two people would use one key. For a key with wider access than the "
        "caller's, the answer is that it does not exist. "
        f"{_SEES_ALL} Callers who are not admins get that answer for every other key.",
    ),
    "RevokeKey": _recorded(
        _ADMIN,
        _CHANGE,
        f"{_KEYS} For a key with wider access than the caller's, the answer is that it does not exist. {_SEES_ALL}",
    ),
}

_AUDITS = "People may not check themselves. A chain is read as a whole: scopes do not divide it."

_AUDIT = {
    "SearchAudit": _recorded(_AUDITOR, _READ, _AUDITS),
    "ExportAudit": _recorded(_AUDITOR, _READ, _AUDITS),
    "VerifyAudit": _recorded(_AUDITOR, _READ, _AUDITS),
    "GetCheckpoints": _recorded(_AUDITOR, _READ, _AUDITS),
}

_KEEPS_CASES = "Operators open cases and search for them."
_READS_CASES = "Operators manage cases; examiners read them."
_EXAMINES = "Only examiners, who did not search, judge leads."

_REVIEW = {
    "OpenCase": _recorded(_OPERATOR, _CHANGE, _KEEPS_CASES),
    "GetCase": _recorded(_OPERATOR | _EXAMINER, _READ, _READS_CASES, _CASE, stated=Stated.CASE),
    "ListCases": _recorded(_OPERATOR | _EXAMINER, _READ, _READS_CASES, lists=True),
    "CloseCase": _recorded(_OPERATOR, _CHANGE, _KEEPS_CASES, _CASE),
    "DeleteCase": _recorded(_ADMIN, _CHANGE, "People who searched or judged may not delete the evidence.", _CASE),
    "SearchInCase": _recorded(
        _OPERATOR,
        _CHANGE,
        _KEEPS_CASES,
        (*_CASE, Scoped(ScopeKind.GALLERY, "search.gallery_id")),
        counts_as_search=True,
        probes=("search.probe",),
        coarse=Coarse.ROUNDED,
        stated=Stated.CASE,
    ),
    "ListAwaiting": _recorded(_EXAMINER, _READ, _EXAMINES, lists=True),
    "GetExamination": _recorded(
        _OPERATOR | _EXAMINER,
        _READ,
        f"{_EXAMINES} Operators see its conclusion.",
        _EXAMINATION,
        coarse=Coarse.ROUNDED,
        stated=Stated.CASE,
    ),
    "SubmitFinding": _recorded(_EXAMINER, _CHANGE, _EXAMINES, _EXAMINATION, coarse=Coarse.ROUNDED, stated=Stated.CASE),
    "ExportEvidence": _recorded(
        _OPERATOR,
        _READ,
        "People who manage a case pass its evidence on.",
        _CASE,
        coarse=Coarse.REFUSED,
        stated=Stated.CASE,
    ),
}

_FOOTAGE = "Operators search, and footage is a probe. A video is known only to the caller who announced it."

_VIDEO = {
    "CreateVideo": _recorded(_OPERATOR, _COMPUTE, _FOOTAGE),
    "AnalyzeVideo": Rule(_OPERATOR, _CHANGE, f"{_FOOTAGE} CreateVideo is recorded, and the chunks are not."),
    "GetVideo": Rule(_OPERATOR, _READ, f"{_FOOTAGE} The answer shows no face."),
    "ListVideos": Rule(_OPERATOR, _READ, f"{_FOOTAGE} The answer shows no face."),
    "ListTracks": _recorded(_OPERATOR, _READ, f"{_FOOTAGE} It shows the faces of the footage."),
    "SearchTracks": _recorded(
        _OPERATOR,
        _COMPUTE,
        "As Search, once for each track.",
        (Scoped(ScopeKind.GALLERY, "search.gallery_id"),),
        counts_as_search=True,
        probes=("search.probe",),
        coarse=Coarse.ROUNDED,
        stated=Stated.INQUIRY,
    ),
    "DeleteVideo": _recorded(_OPERATOR, _CHANGE, _FOOTAGE, chained=False),
    "WatchStream": _recorded(
        _OPERATOR,
        _COMPUTE,
        "As Search, once for each track, if the configuration allows the stream with the gallery.",
        _GALLERY,
        counts_as_search=True,
        coarse=Coarse.REFUSED,
        stated=Stated.INQUIRY,
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
    "VideoService": _VIDEO,
}

RULES: Mapping[str, Rule] = MappingProxyType(
    {f"/fr_api.v1.{service}/{name}": rule for service, rules in _SERVICES.items() for name, rule in rules.items()}
)
"""Full name of the method, as gRPC has it ("/fr_api.v1.GalleryService/Search") -> its rule."""
