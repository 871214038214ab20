"""Rounds scores and removes embeddings for a principal who gets no exact scores.

With exact scores an attacker can improve any photo step by step until it matches an enrolled person (Galbally, McCool,
Fierrez, Marcel, Ortega-Garcia, "On the vulnerability of face verification systems to hill-climbing attacks", Pattern
Recognition 43, 2010). Similarities and thresholds therefore have two decimals. The decision is computed again from the
rounded values; otherwise moving the threshold would reveal the missing decimals. A likelihood ratio is the similarity
in other units and finer steps, so it is left out. Embeddings are neither accepted nor returned.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from google.protobuf.message import Message

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2, review_pb2, training_pb2
from fr_locales.messages import message
from fr_server.authz.rules import Coarse, Rule
from fr_trust.errors import NotPermitted

_DECIMALS = 2


def require_photos(rule: Rule, request: Message) -> None:
    """Raise `NotPermitted` where a coarse principal asks for what it is not told, or sends what is not taken of it."""
    if rule.coarse is Coarse.REFUSED:
        raise NotPermitted(message("error.authz.call_tells_exact_scores"))
    if rule.search_if and value_at(request, rule.search_if):
        raise NotPermitted(message("error.authz.whoever_calls_not_told"), field=rule.search_if)
    for path in rule.probes:
        probe = value_at(request, path)
        if isinstance(probe, recognition_pb2.Probe) and probe.WhichOneof("source") == "embedding":
            raise NotPermitted(message("error.authz.whoever_calls_may_send"), field=path)


def ask_for_all(request: Message) -> bool:
    """Let a search answer with the candidates below its threshold too; return whether they are to be left out after.

    The service would leave them out by exact similarities.
    """
    search = request if isinstance(request, gallery_pb2.SearchRequest) else value_at(request, "search")
    if not isinstance(search, gallery_pb2.SearchRequest) or not search.only_above_threshold:
        return False
    search.only_above_threshold = False
    return True


def tell_less(response: Message, only_above: bool) -> None:
    """Take from an answer what a coarse principal is not told; `only_above` is what `ask_for_all` returned."""
    if isinstance(response, gallery_pb2.SearchResponse):
        _search(response, only_above)
    elif (less := _LESS.get(response.DESCRIPTOR.full_name)) is not None:
        less(response)
    for field, value in response.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        if field.message_type.full_name == _EMBEDDING:
            response.ClearField(field.name)
            continue
        for inner in value if field.is_repeated else (value,):
            tell_less(inner, only_above)


def value_at(message: Message, path: str) -> Any:
    """Return what stands at a path; None where a message on the way, or at its end, is not set or has no such field."""
    value: Any = message
    for name in path.split("."):
        field = value.DESCRIPTOR.fields_by_name.get(name)
        if field is None:
            return None
        if field.message_type is not None and not field.is_repeated and not value.HasField(name):
            return None
        value = getattr(value, name)
    return value


def rounded(score: float) -> float:
    """Return a score with two decimals."""
    return round(score, _DECIMALS) + 0.0  # which makes 0.0 of -0.0


def _search(response: gallery_pb2.SearchResponse, only_above: bool) -> None:
    response.threshold = rounded(response.threshold)
    for result in response.results:
        for candidate in result.candidates:
            candidate.similarity = rounded(candidate.similarity)
            candidate.above_threshold = candidate.similarity >= response.threshold
        above = [candidate for candidate in result.candidates if candidate.above_threshold]
        result.decision = (
            gallery_pb2.SEARCH_DECISION_POTENTIAL_CANDIDATES if above else gallery_pb2.SEARCH_DECISION_NO_CANDIDATE
        )
        if only_above:
            del result.candidates[len(above) :]  # the best come first


def _compare(response: recognition_pb2.CompareResponse) -> None:
    response.similarity = rounded(response.similarity)
    response.threshold = rounded(response.threshold)
    response.above_threshold = response.similarity >= response.threshold
    response.ClearField("likelihood_ratio")


def _examination(response: review_pb2.Examination) -> None:
    response.threshold = rounded(response.threshold)


def _examined(response: review_pb2.ExaminedCandidate) -> None:
    if response.HasField("similarity"):
        response.similarity = rounded(response.similarity)


def _reveal(response: training_pb2.Reveal) -> None:
    for picture_id, similarity in dict(response.similarities).items():
        response.similarities[picture_id] = rounded(similarity)


_EMBEDDING = common_pb2.Embedding.DESCRIPTOR.full_name
_LESS: Mapping[str, Callable[[Any], None]] = MappingProxyType(
    {
        recognition_pb2.CompareResponse.DESCRIPTOR.full_name: _compare,
        review_pb2.Examination.DESCRIPTOR.full_name: _examination,
        review_pb2.ExaminedCandidate.DESCRIPTOR.full_name: _examined,
        training_pb2.Reveal.DESCRIPTOR.full_name: _reveal,
    }
)
