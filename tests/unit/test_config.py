"""The configuration: defaults, unknown keys, types, ranges, unsafe starts, and doubts; chores, and the clock."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from fr_core.errors import ConfigInvalid, ConfigUnknownKey, FrError, PlaintextRefused, StoreFailed
from fr_server.app import SERVICES
from fr_server.checks import doubts_of
from fr_server.clock import SteadyClock, boot_ms, wall_ms
from fr_server.config import KEYS, Config, config_from, folders, leaves, load_config, print_config
from fr_server.config.loading import is_loopback, require_safe
from fr_server.jobs.periodic import for_ever, tell_key_ends
from fr_server.telemetry.listener import CHORES
from fr_server.telemetry.metrics import PrometheusObserver, methods_of
from fr_server.telemetry.open import Telemetry
from fr_server.telemetry.trust import Trust
from fr_training.store.training_store import TrainingStore
from fr_trust.casework.store import CaseStore
from support.access import DAY_MS, NOW_MS, Clocks, new_key, open_store
from support.gateways import now_ms
from support.secured import Made, made
from support.servers import running


def test_defaults_are_described_and_within_their_own_ranges() -> None:
    assert [key for key, _ in leaves(Config())] == list(KEYS)
    raw: dict[str, dict[str, object]] = {}
    for key, value in leaves(Config()):
        section, name = key.split(".")
        raw.setdefault(section, {})[name] = list(value) if isinstance(value, tuple) else value
    assert config_from(raw) == Config()


def test_printed_configuration_is_read_back(tmp_path: Path) -> None:
    config = load_config(None, ["model.flip=true", "server.host=0.0.0.0", 'images.formats=["PNG", "GIF"]'])
    path = tmp_path / "c.toml"
    path.write_text(print_config(config))
    assert load_config(path) == config


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("server.prot=1", "server.port"),
        ("sever.port=1", "server"),
        ("server.port=65536", "server.port"),
        ("server.port=true", "server.port"),
        ("server.port=many", "server.port"),
        ("server.port=1.5", "server.port"),
        ("server.drain_s=nan", "server.drain_s"),
        ("images.formats=[]", "images.formats"),
        ('images.formats=["PDF"]', "images.formats"),
        ("images.formats=JPEG", "images.formats"),
        ("gallery.index=hnsw", "gallery.index"),
        ("server=1", "SECTION.KEY=VALUE"),
        ("port", "SECTION.KEY=VALUE"),
        ("server.drain_s=20s", "`server.drain_s` is a number of seconds, such as 20."),
        ("access.requests_per_s=x", "`access.requests_per_s` is a number of calls per second, such as 50."),
        ("access.key_days=0", "`access.key_days` is a whole number of days from 1 to 1826."),
        ("server.reflection=yes", "`server.reflection` is true or false."),
        ("server.host=3", "`server.host` is text between quotation marks."),
        (f"server.drain_s=1{'0' * 400}", "`server.drain_s` is a number of seconds, such as 20."),
        (f"model.pack={'[' * 3000}", "`model.pack` is a list in too many lists, or a number of more digits than any"),
        (f"batching.detector_sizes=[0x{'f' * 5000}]", "`batching.detector_sizes` is a list of whole numbers, such as"),
    ],
)
def test_wrong_settings_are_named(override: str, words: str) -> None:
    with pytest.raises((ConfigInvalid, ConfigUnknownKey)) as caught:
        load_config(None, [override])
    assert words in caught.value.message
    assert isinstance(caught.value, ConfigUnknownKey) is (override in ("server.prot=1", "sever.port=1"))


def test_everything_that_is_wrong_is_told_at_once() -> None:
    wrong = ["server.prot=1", "server.drain_s=20s", "quality.min_brightness=x", "quality.max_brightness=0.01"]
    with pytest.raises(ConfigUnknownKey) as caught:
        load_config(None, [*wrong, "images.max_bytes=1"])
    assert caught.value.metadata == {"key": "server.prot"}
    named = ("`server.prot`", "`server.drain_s`", "`quality.min_brightness`", "`images.max_bytes`")
    assert [name in caught.value.what for name in named] == [True] * 4
    assert "exceed" not in caught.value.what  # of a value that nobody gave
    with pytest.raises(ConfigInvalid, match=r"must not exceed.*`server\.port`"):
        load_config(None, ["quality.min_brightness=0.9", "server.port=-1", "quality.max_brightness=0.1"])


def test_extremes_that_are_documented_are_accepted() -> None:
    for key, rule in KEYS.items():
        if key in ("quality.min_brightness", "quality.max_brightness"):
            continue  # bound to each other as well
        for extreme in (rule.low, rule.high):
            if extreme is not None:
                whole = isinstance(dict(leaves(Config()))[key], int)
                load_config(None, [f"{key}={int(extreme) if whole else float(extreme)}"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[server", "cannot be read as TOML"),
        ("\udcff", "cannot be read as TOML"),
        ("server = 3\n", "section"),
        (f"[server]\nport = {'9' * 5000}\n", "a key or a number has more than 200 characters"),
        (None, "cannot be read"),
    ],
)
def test_unreadable_files_are_refused(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "c.toml"
    if text is not None:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigInvalid, match=words):
        load_config(path)


def test_values_of_options_are_taken_as_they_are(tmp_path: Path) -> None:
    folder = str(tmp_path / "a\U0001f600'\"[b")
    assert load_config(None, [], {"gallery.folder": folder}).gallery.folder == folder
    with pytest.raises(ConfigInvalid, match="NUL"):
        load_config(None, [], {"gallery.folder": "a\0b"})


@pytest.mark.parametrize(("sent", "read"), [("1", "1"), ("[1, 2]", "1,2"), ("1,2,4", "1,2,4"), ("auto", "auto")])
def test_batch_sizes_may_be_written_as_a_number_a_list_or_text(sent: str, read: str) -> None:
    assert load_config(None, [f"batching.embedder_sizes={sent}"]).batching.embedder_sizes == read


def test_every_folder_may_be_named_from_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for key, folder in (
        ("gallery.folder", folders.data_folder),
        ("evaluation.folder", folders.reports_folder),
        ("training.folder", folders.training_folder),
        ("cases.folder", folders.cases_folder),
        ("access.folder", folders.access_folder),
        ("audit.checkpoint_folder", folders.checkpoint_folder),
    ):
        assert folder(load_config(None, [f"{key}=~/x"])) == Path("/home/me/x")
    assert folders.checkpoint_folder(Config()) is None
    assert folders.reports_folder(Config(), {"FR_HOME": "/home"}) == Path("/home/data/reports")
    assert folders.reports_folder(load_config(None, ["gallery.folder=/g"])) == Path("/g/reports")


def test_the_environment_comes_between_the_file_and_options(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[server]\nport = 1\nhost = '::1'\nmax_in_flight = 7\n")
    environ = {"FR__SERVER__PORT": "2", "FR__SERVER__HOST": "localhost", "FR_HOME": "/x", "FR_SERVER": "other:1"}
    config = load_config(path, ["server.port=3"], environ=environ)
    assert (config.server.port, config.server.host, config.server.max_in_flight) == (3, "localhost", 7)
    assert load_config(path, environ={"FR__IMAGES__FORMATS": '["PNG"]'}).images.formats == ("PNG",)
    assert load_config(path, environ={"FR__GALLERY__KEY": "command:get key=1"}).gallery.key == "command:get key=1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "1") for name in ("FR__SERVER__PROT", "FR__SEVER__PORT", "FR__PORT", "FR__")),
        ("FR__IMAGES__FORMATS", "[" * 3000 + "]" * 3000),
    ],
)
def test_a_wrong_setting_of_the_environment_stops_the_start(name: str, value: str) -> None:
    with pytest.raises((ConfigUnknownKey, ConfigInvalid)):
        load_config(None, environ={name: value})


TLS = {"certificate": "c.pem", "key": "k.pem"}
OIDC = {"oidc_issuer": "https://id.example", "oidc_audience": "fr", "oidc_jwks": "keys.json"}

HERE = ("127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost", "LOCALHOST", "::ffff:127.0.0.1")
ELSEWHERE = ("0.0.0.0", "::", "[::]", "192.168.1.5", "::ffff:10.0.0.1", "host", "", "127.0.0.1.evil.org")


@pytest.mark.parametrize("host", [*HERE, *ELSEWHERE])
def test_this_very_machine_is_told_from_what_others_may_reach(host: str) -> None:
    assert is_loopback(host) is (host in HERE)


@pytest.mark.parametrize(
    ("server", "tls", "access", "error", "key"),
    [
        ({}, {}, {}, None, ""),
        ({"host": "localhost"}, {}, {"mode": "open"}, None, ""),
        ({"host": "0.0.0.0"}, TLS, {}, None, ""),
        ({"host": "0.0.0.0"}, TLS, {"mode": "keys"}, None, ""),
        ({}, {**TLS, "client_certificates": "required", "client_ca": "ca.pem"}, OIDC, None, ""),
        ({"host": "0.0.0.0"}, {}, {}, PlaintextRefused, "tls.certificate"),
        ({"host": "example.org"}, {}, {"mode": "keys"}, PlaintextRefused, "tls.certificate"),
        ({"host": "0.0.0.0"}, TLS, {"mode": "open"}, PlaintextRefused, "access.mode"),
        ({}, {"certificate": "c.pem"}, {}, ConfigInvalid, "tls.key"),
        ({}, {"key": "k.pem"}, {}, ConfigInvalid, "tls.key"),
        ({}, {**TLS, "client_certificates": "required"}, {}, ConfigInvalid, "tls.client_ca"),
        ({}, {"client_certificates": "optional", "client_ca": "ca.pem"}, {}, ConfigInvalid, "tls.client_ca"),
        ({}, {**TLS, "client_ca": "ca.pem"}, {}, ConfigInvalid, "tls.client_certificates"),
        ({}, {**TLS, "revoked": "crl.pem"}, {}, ConfigInvalid, "tls.client_certificates"),
        ({}, {}, {"oidc_issuer": "https://id.example"}, ConfigInvalid, "access.oidc_issuer"),
        ({}, {}, {**OIDC, "oidc_audience": ""}, ConfigInvalid, "access.oidc_issuer"),
    ],
)
def test_safety(
    server: dict[str, str], tls: dict[str, str], access: dict[str, str], error: type[FrError] | None, key: str
) -> None:
    config = config_from({"server": server, "tls": tls, "access": access})
    if error is None:
        require_safe(config)
        return
    with pytest.raises(error) as refused:
        require_safe(config)
    assert refused.value.metadata["key"] == key


@pytest.fixture
def at(tmp_path: Path) -> Made:
    server = made(tmp_path / "srv")
    (server.folder / "ca.key").rename(tmp_path / "elsewhere.key")
    return server


def doubts(at: Made, config: Config | None = None, sealed: bool = True) -> list[str]:
    return doubts_of(config or at.config(), at.path, sealed, now_ms())


def test_a_server_as_it_should_be_is_not_doubted(at: Made) -> None:
    assert doubts(at) == []
    at.folder.chmod(0o755)
    assert doubts(at) == []


@pytest.mark.parametrize("mode", [0o600, 0o755])
def test_the_key_of_the_authority_on_the_same_machine(at: Made, tmp_path: Path, mode: int) -> None:
    key = at.folder / "ca.key"
    (tmp_path / "elsewhere.key").rename(key)
    key.chmod(mode)
    (told,) = doubts(at)
    assert (str(key) in told, "(mode 0755)" in told) == (True, mode == 0o755)


@pytest.mark.parametrize(("name", "mode"), [*(("data", mode) for mode in (0o755, 0o750, 0o707, 0o720)), (".", 0o775)])
def test_a_folder_that_is_open_to_others(at: Made, name: str, mode: int) -> None:
    (at.folder / name).chmod(mode)
    (told,) = doubts(at)
    assert f"{at.folder / name} (mode {mode:04o})" in told
    assert told.startswith("Other users can access the data folder") is (name == "data")


class Hears(Trust):
    end_s = -1.0

    def keys_expire(self, at_s: float) -> None:
        self.end_s = at_s


def test_the_first_end_is_that_of_a_key_that_is_valid(tmp_path: Path) -> None:
    clocks, trust = Clocks(), Hears()
    with open_store(tmp_path / "data", clocks) as store:

        def told_days() -> float:
            tell_key_ends(store, trust)
            return (trust.end_s * 1000 - NOW_MS) / DAY_MS if trust.end_s else 0

        assert told_days() == 0
        store.create(new_key())
        assert told_days() == 0, "it has no end"
        store.create(new_key(lifetime_ms=30 * DAY_MS))
        revoked = store.create(new_key(lifetime_ms=2 * DAY_MS)).key
        store.create(new_key(lifetime_ms=5 * DAY_MS))
        assert told_days() == 2
        store.revoke(revoked.key_id)
        assert told_days() == 5
        clocks.passes(6 * DAY_MS)
        assert told_days() == 30


def failures(registry: CollectorRegistry) -> dict[str, float]:
    counts = {chore: registry.get_sample_value("fr_chore_failures_total", {"chore": chore}) for chore in CHORES}
    return {chore: count for chore, count in counts.items() if count}


def done(job: Callable[[], None]) -> dict[str, float]:
    """Have a job done until it has been begun five times; returns how often it failed."""
    metrics, begun = PrometheusObserver(methods_of(SERVICES)), threading.Semaphore(0)

    def counted() -> None:
        begun.release()
        job()

    async def run() -> None:
        going_on = asyncio.create_task(for_ever("purge_cases", 0.0, counted, Telemetry(metrics=metrics).chore_failed))
        assert await asyncio.to_thread(lambda: all(begun.acquire(timeout=10) for _ in range(5)))
        going_on.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await going_on

    asyncio.run(run())
    return failures(metrics.registry)


@pytest.mark.parametrize("error", [StoreFailed("The disk refuses."), KeyError("Jane Roe"), MemoryError("Jane Roe")])
def test_whatever_a_run_raises_there_is_a_next_one(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise error

    assert done(lambda: None) == {}
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert done(fail)["purge_cases"] >= 4
    assert "The chore purge_cases failed; the server tries again" in caplog.text
    assert type(error).__name__ in caplog.text
    assert "Jane Roe" not in caplog.text


def test_a_server_goes_on_to_delete_what_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    purged: dict[str, threading.Event] = {}

    def defective_once(store: type, name: str) -> None:
        purge, again = store.purge, purged.setdefault(name, threading.Event())  # type: ignore[attr-defined]
        calls: list[object] = []

        def broken(self: object) -> object:
            calls.append(self)
            if len(calls) == 1:
                raise ZeroDivisionError
            again.set()
            return purge(self)

        monkeypatch.setattr(store, "purge", broken)

    defective_once(CaseStore, "purge_cases")
    defective_once(TrainingStore, "purge_training")
    monkeypatch.setattr("fr_server.app._PURGE_S", 0.05)
    metrics = PrometheusObserver(methods_of(SERVICES))
    with running(tmp_path, observing=Telemetry(metrics, metrics)):
        for again in purged.values():
            assert again.wait(10)
    assert failures(metrics.registry) == dict.fromkeys(purged, 1)


class Machine:
    def __init__(self) -> None:
        self.wall, self.passed = NOW_MS, 5_000
        self.clock = SteadyClock(lambda: self.wall, lambda: self.passed)

    def go_on(self, ms: int) -> int:
        self.wall += ms
        self.passed += ms
        return self.clock() - NOW_MS


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.mark.parametrize("step", [-DAY_MS, DAY_MS, -3_600_000, 3_000, -3_000])
def test_a_jump_is_not_followed_and_told_once(machine: Machine, step: int, caplog: pytest.LogCaptureFixture) -> None:
    machine.wall += step
    assert [machine.go_on(10_000) for _ in range(3)] == [10_000, 20_000, 30_000]
    assert len(caplog.records) == 1
    machine.wall -= step
    assert machine.go_on(0) == 30_000


@pytest.mark.parametrize("step", [-2_000, 2_000, 500])
def test_a_correction_is_followed(machine: Machine, step: int) -> None:
    assert machine.go_on(1234) == 1234
    assert machine.clock.moment() == datetime.fromtimestamp((NOW_MS + 1234) / 1000, UTC)
    for steps in (1, 2):
        machine.wall += step
        assert machine.go_on(0) == 1234 + steps * step


def test_the_clocks_of_this_machine_go_on() -> None:
    clock = SteadyClock()
    first = clock()
    assert abs(first - wall_ms()) < 1_000
    assert (boot_ms() > 0, clock() >= first) == (True, True)
