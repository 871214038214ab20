"""Names values of the API in the language of a page."""

from collections.abc import Mapping

from fr_api.v1 import access_pb2, common_pb2, gallery_pb2, training_pb2
from fr_locales.messages import Message, message

ROLES: Mapping[int, Message] = {
    access_pb2.ROLE_TRAINEE: message("console.role.trainee"),
    access_pb2.ROLE_TRAINER: message("console.role.trainer"),
    access_pb2.ROLE_OPERATOR: message("console.role.operator"),
    access_pb2.ROLE_EXAMINER: message("console.role.examiner"),
    access_pb2.ROLE_AUDITOR: message("console.role.auditor"),
    access_pb2.ROLE_ADMIN: message("console.role.admin"),
}
USES: Mapping[int, Message] = {
    gallery_pb2.GALLERY_USE_OPERATIONAL: message("console.use.operational"),
    gallery_pb2.GALLERY_USE_TRAINING: message("console.use.training"),
    gallery_pb2.GALLERY_USE_TEST: message("console.use.test"),
}
PURPOSES: Mapping[common_pb2.Purpose.ValueType, Message] = {
    common_pb2.PURPOSE_INVESTIGATION: message("console.purpose.investigation"),
    common_pb2.PURPOSE_MISSING_PERSON: message("console.purpose.missing_person"),
    common_pb2.PURPOSE_VICTIM: message("console.purpose.victim"),
    common_pb2.PURPOSE_UNKNOWN_PERSON: message("console.purpose.unknown_person"),
    common_pb2.PURPOSE_RECORD_KEEPING: message("console.purpose.record_keeping"),
    common_pb2.PURPOSE_TRAINING: message("console.purpose.training"),
    common_pb2.PURPOSE_TESTING: message("console.purpose.testing"),
    common_pb2.PURPOSE_GALLERY_MAINTENANCE: message("console.purpose.gallery_maintenance"),
}
QUALITY: Mapping[int, Message] = {
    common_pb2.QUALITY_REASON_TOO_SMALL: message("quality_reason.too_small"),
    common_pb2.QUALITY_REASON_BLURRED: message("quality_reason.blurred"),
    common_pb2.QUALITY_REASON_TOO_DARK: message("quality_reason.too_dark"),
    common_pb2.QUALITY_REASON_TOO_BRIGHT: message("quality_reason.too_bright"),
    common_pb2.QUALITY_REASON_NOT_FRONTAL: message("quality_reason.not_frontal"),
    common_pb2.QUALITY_REASON_TILTED: message("quality_reason.tilted"),
    common_pb2.QUALITY_REASON_DOUBTFUL_FACE: message("quality_reason.doubtful_face"),
    common_pb2.QUALITY_REASON_WEAK_EMBEDDING: message("quality_reason.weak_embedding"),
    common_pb2.QUALITY_REASON_CUT_OFF: message("quality_reason.cut_off"),
}
STATES: Mapping[int, Message] = {
    training_pb2.SESSION_STATE_NOT_STARTED: message("console.state.not_started"),
    training_pb2.SESSION_STATE_RUNNING: message("console.state.running"),
    training_pb2.SESSION_STATE_PAUSED: message("console.state.paused"),
    training_pb2.SESSION_STATE_FINISHED: message("console.state.finished"),
}
# Refusals whose words name calls and options: these are for people who see only pages.
FOR_PAGES: Mapping[str, Message] = {
    "CREDENTIAL_MISSING": message("console.refused.key"),
    "ITEMS_AHEAD": message("console.refused.items_ahead"),
    "TEST_ITEMS": message("console.refused.test_items"),
}
