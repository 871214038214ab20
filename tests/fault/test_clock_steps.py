"""Somebody sets the machine's clock by a day, either way, while a server runs: nothing ends early, and nothing late."""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fr_api.v1 import common_pb2, gallery_pb2, recognition_pb2, server_pb2, training_pb2
from fr_core.embed.null import NULL_MODEL
from fr_core.gallery.values import GalleryUse
from fr_core.storage.audit.values import Entry
from fr_core.storage.audit.verify import Verified, verify
from fr_server.clock import SteadyClock, boot_ms, wall_ms
from fr_trust.access.budget import Budget
from fr_trust.access.budgets import Budgets
from fr_trust.access.principal import Role
from fr_trust.access.store import AccessStore
from support.callers import Caller, reason_of
from support.counts import count
from support.courses import Chance, Stub, answer, next_trial, store_of
from support.secured import figure, key_of
from support.servers import Running, photo, running
from support.training_stores import add_course, begin, small_course

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
BUSY_MS = 20_000  # more than a test takes, on a busy machine too
FORWARDS, BACK = DAY_MS, -DAY_MS
ISSUER, AUDIENCE, SIGNER = "https://login.example", "fr-core", "signer"
OK = "OK"
PHOTO = photo(1)
ROUNDS = count("CLOCK_STEPS")


class Machine:
    """A machine whose clock can be set, and that can be waited for without waiting."""

    def __init__(self) -> None:
        self.gone_ms = self.set_by_ms = 0

    def wall_ms(self) -> int:
        return self.true_ms() + self.set_by_ms

    def true_ms(self) -> int:
        return wall_ms() + self.gone_ms

    def passed_ms(self) -> int:
        return boot_ms() + self.gone_ms


class WallClock:
    """For controls: a server's clock that is the machine's, whatever somebody makes of that."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def __call__(self) -> int:
        return self._machine.wall_ms()

    def moment(self) -> datetime:
        return datetime.fromtimestamp(self() / 1000, UTC)


@dataclass
class Site:
    server: Running
    machine: Machine
    signer: ec.EllipticCurvePrivateKey
    names: Iterator[int]

    @property
    def keys(self) -> AccessStore:
        return self.server.stores.access

    def caller(self, token: str) -> Caller:
        return Caller(self.server.channel, token)

    def gallery(self, expires: datetime | None = None) -> str:
        gallery_id = f"gallery-{next(self.names)}"
        galleries = self.server.app.galleries
        galleries.create(gallery_id, "", NULL_MODEL, 64, expires, None, False, GalleryUse.TEST)
        return gallery_id

    def searches(self, token: str, gallery_id: str) -> str:
        probe = recognition_pb2.Probe(image=common_pb2.Image(data=PHOTO))
        request = gallery_pb2.SearchRequest(gallery_id=gallery_id, probe=probe)
        return reason_of(lambda: self.caller(token).gallery.Search(request))

    def recorded_ms(self) -> int:
        number = self.keys.record([Entry("system", "access.test", OK)]).result(10)
        with self.keys.auditing() as audit:
            (kept,) = audit.records(number - 1, 1)
        return kept.record.at_ms

    def asks(self, token: str) -> str:
        return reason_of(lambda: self.caller(token).server.GetServerInfo(server_pb2.GetServerInfoRequest()))


@contextmanager
def site(folder: Path, steady: bool = True) -> Iterator[Site]:
    """Run a server that goes by a machine's clock: as servers do, or for a control whatever it says."""
    machine, signer = Machine(), ec.generate_private_key(ec.SECP256R1())
    clock = SteadyClock(machine.wall_ms, machine.passed_ms) if steady else WallClock(machine)
    key = jwt.algorithms.ECAlgorithm.to_jwk(signer.public_key(), as_dict=True)
    (folder / "jwks.json").write_text(json.dumps({"keys": [{**key, "kid": SIGNER, "alg": "ES256"}]}))
    access = {
        "mode": "keys",
        "oidc_issuer": ISSUER,
        "oidc_audience": AUDIENCE,
        "oidc_jwks": str(folder / "jwks.json"),
        "oidc_algorithms": ["ES256"],
    }
    with (
        patch("fr_server.main.SteadyClock", lambda: clock),
        running(folder / "data", clock=clock, access=access) as server,
    ):
        yield Site(server, machine, signer, iter(range(1_000)))
        with server.stores.access.auditing() as audit:
            assert isinstance(verify(audit), Verified)


def sittings(site: Site, step_ms: int) -> None:
    """A block of ten minutes has ten minutes, and what an answer took is what it took."""
    store = store_of(site.server)
    course = small_course(course_id=f"{next(site.names):016x}", created_ms=site.server.app._clock())
    add_course(store, course)
    _, enrolled = store.create_cohort(course.course_id, "", 1, 30 * DAY_MS)
    (session,) = begin(store, course, enrolled)
    bearer = site.caller(key_of(site.keys, Role.TRAINEE)).training
    first = next_trial(bearer, session.session_id)
    assert first is not None
    site.machine.set_by_ms += step_ms
    site.machine.gone_ms += MINUTE_MS
    assert answered(bearer, session.session_id, first) == OK
    took_ms = store.session(session.session_id).trials[0].locked[0].took_ms
    assert MINUTE_MS <= took_ms < MINUTE_MS + BUSY_MS
    second = next_trial(bearer, session.session_id)
    assert second is not None
    site.machine.gone_ms += 10 * MINUTE_MS
    assert answered(bearer, session.session_id, second) == "BLOCK_EXPIRED"


def answered(stub: Stub, session_id: str, trial: training_pb2.Trial) -> str:
    return reason_of(lambda: answer(stub, session_id, trial, Chance(random.Random(1))))


def keys(site: Site, step_ms: int) -> None:
    token = key_of(site.keys, lifetime_ms=HOUR_MS)
    site.machine.set_by_ms += step_ms
    site.machine.gone_ms += HOUR_MS - MINUTE_MS
    assert site.asks(token) == OK
    site.machine.gone_ms += MINUTE_MS
    assert site.asks(token) == "CREDENTIAL_INVALID"


def quotas(site: Site, step_ms: int) -> None:
    gallery_id = site.gallery()
    token = key_of(site.keys, budget=Budget(100.0, 100, 2))
    told = [site.searches(token, gallery_id) for _ in range(2)]
    site.machine.set_by_ms += step_ms
    assert [*told, site.searches(token, gallery_id)] == [OK, OK, "QUOTA_EXCEEDED"]


def tokens(site: Site, step_ms: int) -> None:
    """A token of ten minutes is valid for ten minutes, by the clock of who issued it."""
    now_s = site.machine.true_ms() // 1000
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "somebody", "roles": ["operator"]}
    token = jwt.encode({**claims, "iat": now_s, "exp": now_s + 600}, site.signer, "ES256", {"kid": SIGNER})
    assert site.asks(token) == OK
    site.machine.set_by_ms += step_ms
    site.machine.gone_ms += 9 * MINUTE_MS
    assert site.asks(token) == OK
    site.machine.gone_ms += 2 * MINUTE_MS
    assert site.asks(token) == "CREDENTIAL_INVALID"


def audits(site: Site, step_ms: int) -> None:
    """The audit says when something was: a minute later is a minute later."""
    before = site.recorded_ms()
    site.machine.set_by_ms += step_ms
    site.machine.gone_ms += MINUTE_MS
    assert MINUTE_MS <= site.recorded_ms() - before < MINUTE_MS + BUSY_MS


def galleries(site: Site, step_ms: int) -> None:
    now = datetime.fromtimestamp(site.server.app._clock() / 1000, UTC)
    gallery_id, token = site.gallery(now + timedelta(hours=1)), key_of(site.keys)
    site.machine.set_by_ms += step_ms
    site.machine.gone_ms += HOUR_MS - MINUTE_MS
    assert site.searches(token, gallery_id) == OK
    site.machine.gone_ms += MINUTE_MS
    assert site.searches(token, gallery_id) == "GALLERY_EXPIRED"


CHECKS = (sittings, keys, quotas, tokens, audits, galleries)

Check = Callable[[Site, int], None]


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("steady")) as made:
        yield made


@pytest.mark.parametrize("step_ms", [FORWARDS, BACK], ids=["forwards", "back"])
@pytest.mark.parametrize("check", CHECKS)
def test_a_step_of_a_day_changes_nothing(steady: Site, check: Check, step_ms: int) -> None:
    check(steady, step_ms)


def test_all_of_it_goes_on_under_a_clock_that_jumps_about(steady: Site) -> None:
    rng = random.Random(1)
    steps = [rng.choice((FORWARDS, BACK)) for _ in range(ROUNDS)]
    for step_ms in steps:
        for check in CHECKS:
            check(steady, step_ms)
    figure("steps of a day, each with a check that nothing went wrong", len(steps) * len(CHECKS))


# Keys go by a time of their own when the clock is set back, see `fr_trust.access.trusted_clock`, and quotas by no
# clock that can be set: their controls take that away, or are of a clock that was set forwards.
WRONG = [
    (sittings, FORWARDS),
    (sittings, BACK),
    (keys, FORWARDS),
    (tokens, FORWARDS),
    (tokens, BACK),
    (audits, FORWARDS),
    (audits, BACK),
    (galleries, FORWARDS),
    (galleries, BACK),
]


@pytest.mark.parametrize(("check", "step_ms"), WRONG)
def test_control_by_the_clock_of_the_machine_it_goes_wrong(check: Check, step_ms: int, tmp_path: Path) -> None:
    with site(tmp_path, steady=False) as wrong, pytest.raises(AssertionError):
        check(wrong, step_ms)


def test_control_of_quotas_that_go_by_the_clock_of_the_machine(tmp_path: Path) -> None:
    def by_the_clock(monotonic_s: Callable[[], float], clock_ms: Callable[[], int]) -> Budgets:
        return Budgets(lambda: clock_ms() / 1000, clock_ms)

    with (
        patch("fr_server.storage.opening.Budgets", by_the_clock),
        site(tmp_path, steady=False) as wrong,
        pytest.raises(AssertionError),
    ):
        quotas(wrong, FORWARDS)
