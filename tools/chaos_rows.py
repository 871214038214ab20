"""What FR Core claims to bear, each claim with its bar and the tests that show it: the rows of docs/reliability.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Row:
    """One claim.

    Attributes:
        name: a word for it, for the command line.
        claim: a sentence.
        bar: what the tests require.
        tests: their ids, as pytest takes them; the control that must fail is among those of the same file.
        heavy: the environment of the long version.
        told: pattern of a printed line that is a figure, beside the lines `figure: NAME = VALUE`.
        command: another command than pytest for the long version, with its arguments; empty for none.
    """

    name: str
    claim: str
    bar: str
    tests: tuple[str, ...]
    heavy: Mapping[str, str] = field(default_factory=dict)
    told: str = ""
    command: tuple[str, ...] = ()


ROWS = (
    Row(
        "crowd",
        "400 sockets that never greet and 1,000 open streams hardly slow the others down",
        "p99 of others at most twice that of a quiet server; silent sockets are closed; the same without limits fails",
        ("tests/fault/test_crowd.py",),
        {"FR_CROWD_WINDOWS": "20"},
    ),
    Row(
        "soak",
        "A server at 70 % of its greatest load stays as it is",
        "memory grows by 6 MiB/h at most, file descriptors and threads do not",
        ("tests/fault/test_soak.py",),
        told=r"(?:No bar is missed\.|missed: ).*",
        command=("tools/soak.py", "--minutes", "60"),
    ),
    Row(
        "clock",
        "The machine's clock is set by a day, either way, and nothing ends early or late",
        "limits, times of answers, keys, quotas, tokens, audit, galleries; by the clock of the machine each goes wrong",
        ("tests/fault/test_clock_steps.py",),
        {"FR_CLOCK_STEPS": "100"},
    ),
    Row(
        "tampered",
        "A changed configuration, certificate, key, database or model stops the start",
        "each refused with one line that names the file, and status 1",
        ("tests/fault/test_tampered_start.py",),
    ),
    Row(
        "cut-off",
        "Running a killed change of the key, renewal or `init` again finishes it",
        "killed at any step: nothing is lost, nothing is reported as tampering, one key is in force",
        (
            "tests/fault/test_rotation_cut_off.py",
            "tests/fault/test_renewal_cut_off.py",
            "tests/fault/test_init_cut_off.py",
        ),
        {"FR_ROTATION_STRIDE": "1"},
    ),
    Row(
        "scratch",
        "Killed servers leave no temporary folders",
        "5 kills, nothing after the next start; the folder of a living server is left alone",
        ("tests/fault/test_scratch.py",),
    ),
    Row(
        "refused",
        "Whoever is refused is in the audit, with the reason",
        "certificates, keys, tokens, roles, what is of others, changed answers; the chain verifies afterwards",
        ("tests/service/test_refused_and_audited.py",),
    ),
    Row(
        "resources",
        "A disk that becomes read-only, or no file descriptors left, loses nothing that was acknowledged",
        "refused with a status, health answers, all is there afterwards and after a restart",
        ("tests/fault/test_last_resources.py",),
        {"FR_LAST_RESOURCES": "50"},
    ),
    Row(
        "disk-full",
        "A full disk loses nothing that was acknowledged",
        "enrolments are refused while there is room to search and erase; without the reserve nobody can be erased",
        ("tests/fault/test_disk_full.py",),
    ),
    Row(
        "drain",
        "SIGTERM loses no call that was accepted",
        "every call is answered, or told that the server ends; status 0; without the drain calls are lost",
        ("tests/fault/test_drain.py",),
    ),
    Row(
        "health",
        "Strangers who watch the health, and take no answer in, do not keep a server from ending",
        "ends within 10 s; 1,000 watch a process at most, 100 of a connection; grpcio-health-checking waits for them",
        ("tests/fault/test_health_watchers.py",),
    ),
    Row(
        "kill",
        "SIGKILL in the midst of changes of galleries loses nothing that was acknowledged",
        "0 lost, 0 risen again",
        ("tests/fault/test_kill.py",),
        {"FR_KILLS": "1000"},
        r"\d+ processes killed: .*",
    ),
    Row(
        "training-kill",
        "SIGKILL of a server in the midst of a course loses no answer and takes none twice",
        "every acknowledged answer is there once",
        ("tests/fault/test_training_server_kill.py",),
        {"FR_KILLS": "200"},
        r"the server was killed .*",
    ),
    Row(
        "training-store-kill",
        "SIGKILL and power cuts of the store of answers lose nothing that was acknowledged",
        "0 lost",
        ("tests/fault/test_training_kill.py",),
        {"FR_KILLS": "200", "FR_POWER_CUTS": "1000"},
    ),
    Row(
        "findings-kill",
        "SIGKILL loses no finding, and no key, that was acknowledged",
        "0 lost",
        ("tests/fault/test_case_store.py", "tests/fault/test_access_store.py"),
        {"FR_KILLS": "200", "FR_FLIPS": "5000"},
    ),
    Row(
        "frontends-kill",
        "SIGKILL of any process of a server with front-ends, under mixed load, loses no acknowledged change",
        "0 lost, 0 restored after deletion, 0 duplicated",
        ("tests/fault/test_frontends_kill.py",),
        {"FR_FRONTEND_KILLS": "20"},
    ),
    Row(
        "power-cut",
        "A power cut loses nothing of a gallery that was acknowledged",
        "0 lost; where the disk lies about its syncs, it is",
        ("tests/fault/test_power_cut.py",),
        {"FR_POWER_CUTS": "1000"},
        r"the power failed: .*",
    ),
    Row(
        "corruption",
        "A changed byte of a gallery is noticed, or changes no answer",
        "0 wrong answers",
        ("tests/fault/test_corruption.py",),
        {"FR_CORRUPTIONS": "1000"},
        r".*, served: \d+",
    ),
    Row(
        "audit-tampering",
        "Tampering with the audit is found",
        "all of it, and what nobody touched verifies",
        ("tests/fault/test_audit_tampering.py",),
        {"FR_TAMPERINGS": "10000"},
    ),
    Row(
        "audit-flood",
        "Refused calls of a key do not fill the disk with records",
        "30 records and one of each reason a minute; records and counts cover all calls; every answer has its record",
        ("tests/fault/test_audit_flood.py",),
        {"FR_REFUSED_CALLS": "100000"},
    ),
    Row(
        "audit-pruning",
        "Pruning the audit loses no record before it is archived",
        "after each SIGKILL the archive and the store form one chain; on a full disk nothing changes",
        ("tests/fault/test_audit_pruning.py", "tests/property/test_audit_pruning.py"),
        {"FR_KILLS": "200"},
    ),
    Row(
        "evidence-tampering",
        "A change of an evidence bundle is found, and names the file",
        "every byte, every document",
        ("tests/fault/test_evidence_tampering.py",),
    ),
    Row(
        "hostile-http2",
        "Hostile HTTP/2 is refused cheaply: bombs, endless metadata, floods of pings and resets",
        "p99 of others at most twice that of a quiet server, and after 100,000 resets no call of theirs above 1.5 s; "
        "64 MiB at most (512 of metadata); without each limit it harms",
        ("tests/fault/test_hostile_http2.py",),
        {"FR_HOSTILE_TIMES": "16"},
    ),
    Row(
        "hostile-requests",
        "One request ends no server: paths and headers that are no text, too long, or never whole",
        "refused, others served, nothing sent is in the log; gRPC alone would wait for the rest of a message for ever",
        ("tests/fault/test_hostile_requests.py",),
    ),
    Row(
        "door",
        "Whoever wastes the room of the TLS door is shown out",
        "silent, slow and idle clients are closed, and others served",
        ("tests/fault/test_door_faults.py",),
    ),
    Row(
        "sandbox",
        "A photo that takes over its decoder costs its own call and nothing else",
        "one call each; without the sandbox it harms",
        ("tests/fault/test_sandbox_faults.py", "tests/fault/test_sandbox_server.py"),
    ),
    Row(
        "hostile-texts",
        "No text in a request or a file is expensive for a server or a command",
        "1,000 of TOML, JSON, CSV and ZIP: 1 s and 100 MB each, p99 of others at most twice that of a quiet server; "
        "Python's own TOML reader runs out of memory and time",
        ("tests/fault/test_hostile_texts.py",),
        {"FR_HOSTILE_TEXTS": "1000"},
    ),
    Row(
        "fuzz",
        "No damaged photo crashes the decoder or costs much",
        "0 crashes",
        ("tests/fault/test_mutants.py",),
        {"FR_MUTANTS": "1000000"},
    ),
    Row(
        "overload",
        "Overload costs no goodput, and is refused quickly",
        "at five times the peak; without the pace goodput collapses",
        ("tests/fault/test_overload.py", "tests/fault/test_flood.py"),
    ),
    Row(
        "cancel",
        "Cancelled calls leave nothing behind",
        "no thread, no memory, no work for nobody",
        ("tests/fault/test_cancelled.py",),
        {"FR_CANCELLED_CALLS": "20000"},
    ),
    Row(
        "erasure",
        "An erased subject leaves nothing in the files",
        "0 traces; without the scrub there are",
        ("tests/fault/test_erase_leaves_nothing.py",),
    ),
    Row(
        "backup",
        "Backups and restorations survive damage, death and full disks",
        "what was changed is found; an older backup stays in force",
        ("tests/fault/test_backup_faults.py",),
    ),
)
