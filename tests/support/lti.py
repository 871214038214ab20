"""A learning platform: lti1p3platform behind an HTTP server of this machine, with a gradebook of one column."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from html import escape
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from lti1p3platform.ltiplatform import LTI1P3PlatformConfAbstract
from lti1p3platform.message_launch import LTIAdvantageMessageLaunchAbstract
from lti1p3platform.oidc_login import OIDCLoginAbstract
from lti1p3platform.registration import Registration
from lti1p3platform.request import Request
from lti1p3platform.score import UpdateScoreStatus
from lti1p3platform.service_connector import AssignmentsGradesService

from fr_web.lti.registrations import Platform, Registrations, ToolKey, tool_key
from support.loopback import answering, send
from support.surfer import Surfer
from support.web import Answered

TOOL = "https://faces.example.org"
CLIENT, DEPLOYMENT, ITEM = "client-1", "deployment-1", "7"


@cache
def pem_of(whose: str) -> bytes:
    """Return a private key, which is made once: that takes a second."""
    return generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@cache
def key_of(whose: str) -> ToolKey:
    return tool_key(pem_of(whose))


class _Asked(Request):  # type: ignore[misc]  # the library has no types
    def build_metadata(self, request: Any) -> Any:
        return request


class _Conf(LTI1P3PlatformConfAbstract):  # type: ignore[misc]
    def init_platform_config(self, **kwargs: Any) -> None:
        self.seen: dict[str, int] = {}
        self._registration = kwargs["registration"]

    def get_registration_by_params(self, **kwargs: Any) -> Registration:
        return self._registration

    def cache_get(self, key: str) -> int | None:
        return self.seen.get(key)

    def cache_set(self, key: str, exp: int) -> None:
        self.seen[key] = exp


class _Login(OIDCLoginAbstract):  # type: ignore[misc]
    def set_lti_message_hint(self, **kwargs: Any) -> None:
        pass

    def get_lti_message_hint(self) -> str:
        return "a-link"

    def get_redirect(self, url: str) -> str:
        return url


class _Message(LTIAdvantageMessageLaunchAbstract):  # type: ignore[misc]
    def render_launch_form(self, launch_data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return launch_data


class _Grades(AssignmentsGradesService):  # type: ignore[misc]
    scores: list[dict[str, Any]]

    def update_score(self, line_item_id: str, score: Any) -> UpdateScoreStatus:
        assert line_item_id == ITEM
        self.scores.append(score)
        return UpdateScoreStatus.SUCCESS

    def _none(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    find_lineitems = find_lineitem = create_lineitem = update_lineitem = delete_lineitem = get_results = _none


@dataclass
class Lms:
    """The platform; `scores` are those that it took, and `refusals` the answers to other posts; `down` takes none."""

    address: str
    tool: Registrations
    conf: Any
    scores: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    custom: dict[str, str] = field(default_factory=dict)  # of the activity that a real browser opens
    down: bool = False

    @property
    def login(self) -> str:
        """The address that a click on the activity leads to."""
        return str(_Login(None, self.conf).initiate_login("someone-3"))

    @property
    def line_item(self) -> str:
        return f"{self.address}/items/{ITEM}?type_id=3"

    def begin(self, surfer: Surfer, user: str = "someone-1", **headers: str) -> Answered:
        """Lead a browser to the tool, as a click on the activity does."""
        url = urlsplit(_Login(None, self.conf).initiate_login(user))
        return surfer.get(f"{url.path}?{url.query}", Sec_Fetch_Site="cross-site", **headers)

    def message(self, begun: Answered, user: str = "someone-1", **more: Any) -> dict[str, str]:
        """Return the form that the platform has a browser post, after what the tool asked for."""
        return self.form(begun.headers["location"], user, **more)

    def form(
        self,
        location: str,
        user: str,
        custom: Mapping[str, str] | None = None,
        deep: bool = False,
        role: str = "Learner",
    ) -> dict[str, str]:
        asked = dict(parse_qsl(urlsplit(location).query))
        made = _Message(_Asked({"method": "GET", "get_data": asked, "form_data": {}}), self.conf)
        made.set_user_data(user, [f"http://purl.imsglobal.org/vocab/lis/v2/membership#{role}"], "Jane Roe")
        made.set_resource_link_claim("a-link")
        made.set_custom_parameters_claim(dict(custom or {}))
        if deep:
            made.set_dl(f"{self.address}/chosen")
        else:
            made.set_ags(f"{self.address}/items", self.line_item)
        form = made.lti_launch()
        return {name: form[name] for name in ("id_token", "state")}

    def post(self, surfer: Surfer, form: dict[str, str], **headers: str) -> Answered:
        """Post the form, as the page of the platform does: from another site."""
        return surfer.post("/lti/launch", form, Origin=self.address, Sec_Fetch_Site="cross-site", **headers)

    def launch(self, surfer: Surfer, user: str = "someone-1", **more: Any) -> Answered:
        return self.post(surfer, self.message(self.begin(surfer, user), user, **more))

    def answer(self, asked: BaseHTTPRequestHandler) -> None:
        """Answer a browser, or the tool."""
        body = asked.rfile.read(int(asked.headers.get("content-length", 0))).decode()
        if asked.path == "/jwks":
            _send_json(asked, self.conf.get_jwks())
        elif asked.path == "/token":
            _send_json(asked, self.conf.get_access_token(dict(parse_qsl(body))))
        elif asked.command == "POST":
            self._take_score(asked, body)
        elif asked.path.startswith("/auth?"):  # the page that posts the token
            form = self.form(asked.path, "someone-3", self.custom)
            fields = "".join(f'<input type="hidden" name="{name}" value="{value}">' for name, value in form.items())
            action = f"{self.tool.address}/lti/launch"
            _send_page(asked, f'<form method="post" action="{action}">{fields}<button>Go on</button></form>')
        elif asked.path == "/frame":
            _send_page(asked, f'<iframe src="{escape(self.login)}"></iframe>')
        else:
            _send_page(asked, f'<a href="{escape(self.login)}">The activity</a>')

    def _take_score(self, asked: BaseHTTPRequestHandler, body: str) -> None:
        if self.down:
            self.refusals.append("down")
            send(asked, status=503)
            return
        assert asked.path == f"/items/{ITEM}/scores?type_id=3", asked.path
        headers = {"Authorization": asked.headers.get("authorization", "")}
        posted = _Asked({"method": "POST", "headers": headers, "json": json.loads(body), "get_data": {}})
        grades = _Grades(posted, self.conf, f"{self.address}/items", self.line_item)
        grades.scores = self.scores
        answer = grades.handle_resp(grades.handle_update_score, line_item_id=ITEM)
        if answer.code != 200:
            self.refusals.append(str(answer.message))
        _send_json(asked, answer.result, answer.code)


def _send_page(asked: BaseHTTPRequestHandler, body: str) -> None:
    send(asked, f'<!doctype html><link rel="icon" href="data:,">{body}'.encode(), Content_Type="text/html")


def _send_json(asked: BaseHTTPRequestHandler, found: Any, status: int = 200) -> None:
    send(asked, json.dumps(found).encode(), status, Content_Type="application/json")


@contextmanager
def lms(trainer_key: str = "", class_key: str = "", address_of_tool: str = TOOL) -> Iterator[Lms]:
    """Run the platform, with the tool registered at it and it at the tool."""
    key, own = key_of("platform"), key_of("tool")
    public = key.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    opened: list[Lms] = []
    with answering(lambda asked: opened[0].answer(asked)) as port:
        address = f"http://127.0.0.1:{port}"
        registration = (
            Registration()
            .set_iss(address)
            .set_client_id(CLIENT)
            .set_deployment_id(DEPLOYMENT)
            .set_oidc_login_url(f"{address_of_tool}/lti/login")
            .set_launch_url(f"{address_of_tool}/lti/launch")
            .set_deeplink_launch_url(f"{address_of_tool}/lti/launch")
            .set_platform_private_key(pem_of("platform").decode())
            .set_platform_public_key(public.decode())
            .set_tool_key_set({"keys": [own.jwk()]})
        )
        urls = (f"{address}/auth", f"{address}/token", f"{address}/jwks")
        platform = Platform(address, CLIENT, *urls, frozenset({DEPLOYMENT}), frozenset({address}))
        tool = Registrations(address_of_tool, (platform,), (own,), trainer_key, class_key)
        opened.append(Lms(address, tool, _Conf(registration=registration)))
        yield opened[0]
