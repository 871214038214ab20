"""Lists the claims on reliability, each with its bar and its tests: the rows of docs/reliability.md."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One claim: its word for the command line, its sentence, and its bar."""

    name: str
    claim: str
    bar: str
    # Their ids, as pytest takes them; the control that must fail is among those of the same file.
    tests: tuple[str, ...]
    told: str = ""  # pattern of a printed line that is a figure, beside the lines `figure: NAME = VALUE`
    # Another command than pytest for the long version, with its arguments; empty for none.
    command: tuple[str, ...] = ()


ROWS = (
    Row(
        "crowd",
        "400 silent sockets and 1,000 open streams hardly slow other callers",
        "p99 of others at most twice that of a quiet server; silent sockets are closed",
        ("tests/fault/test_crowd.py",),
    ),
    Row(
        "soak",
        "A server at 70 % of its greatest load does not grow",
        "memory grows by 6 MiB/h at most, file descriptors and threads do not",
        ("tests/fault/test_soak.py",),
        told=r"(?:No bar is missed\.|missed: ).*",
        command=("tools/soak.py", "--minutes", "60"),
    ),
    Row(
        "clock",
        "If the machine's clock jumps by a day, no limit, key or token ends early or late",
        "limits, times of answers, keys, quotas, tokens, audit, galleries",
        ("tests/fault/test_clock_steps.py",),
    ),
    Row(
        "tampered",
        "A changed configuration, certificate, key, database or model stops the start",
        "each refused with one line that names the file, and status 1",
        ("tests/fault/test_tampered_start.py",),
    ),
    Row(
        "cut-off",
        "A change of the key, a renewal or an `init` that was killed can be run again",
        "killed at any step: nothing is lost or reported as tampering, and one key is in force",
        ("tests/fault/test_cut_off.py",),
    ),
    Row(
        "upgrade",
        "An upgrade of a data folder that was killed loses nothing",
        "killed at any statement, write or sync: the next start ends it, and everything is there",
        ("tests/fault/test_stores_of_before.py",),
    ),
    Row(
        "scratch",
        "Killed servers leave no temporary folders",
        "5 kills; after the next start no folder is left; the folder of a living server is left alone",
        ("tests/fault/test_scratch.py",),
    ),
    Row(
        "refused",
        "The audit has every refusal, with its reason",
        "certificates, keys, tokens, roles, other people's objects, changed answers; the chain verifies afterwards",
        ("tests/service/test_refused_and_audited.py",),
    ),
    Row(
        "resources",
        "A read-only disk, or a lack of file descriptors, loses nothing acknowledged",
        "calls are refused with a status, health answers, and everything is there after a restart",
        ("tests/fault/test_last_resources.py",),
    ),
    Row(
        "disk-full",
        "A full disk loses nothing acknowledged",
        "enrolments are refused while there is room to search and erase",
        ("tests/fault/test_disk_full.py",),
    ),
    Row(
        "drain",
        "SIGTERM loses no accepted call",
        "every call is answered, or told that the server ends; status 0",
        ("tests/fault/test_drain.py",),
    ),
    Row(
        "health",
        "Strangers who watch the health cannot keep a server from ending",
        "ends within 10 s; at most 1,000 watchers of a process, 100 of a connection",
        ("tests/fault/test_health_watchers.py",),
    ),
    Row(
        "kill",
        "SIGKILL during changes of galleries loses nothing acknowledged",
        "0 lost, and 0 deleted ones come back",
        ("tests/fault/test_kill.py",),
        told=r"\d+ processes killed: .*",
    ),
    Row(
        "training-kill",
        "SIGKILL during a course loses no answer, and doubles none",
        "every acknowledged answer is there once",
        ("tests/fault/test_training_server_kill.py",),
        told=r"the server was killed .*",
    ),
    Row(
        "training-store-kill",
        "SIGKILL and power cuts of the store of answers lose nothing acknowledged",
        "0 lost",
        ("tests/fault/test_training_kill.py",),
    ),
    Row(
        "findings-kill",
        "SIGKILL loses no acknowledged finding or key",
        "0 lost",
        ("tests/fault/test_case_store.py", "tests/fault/test_access_store.py"),
    ),
    Row(
        "frontends-kill",
        "SIGKILL of any process of a server with front-ends, under mixed load, loses no acknowledged change",
        "0 lost, 0 restored after deletion, 0 duplicated",
        ("tests/fault/test_frontends_kill.py",),
    ),
    Row(
        "power-cut",
        "A power cut loses nothing acknowledged of a gallery",
        "0 lost",
        ("tests/fault/test_power_cut.py",),
        told=r"the power failed: .*",
    ),
    Row(
        "corruption",
        "The server notices a changed byte of a gallery, or the byte changes no answer",
        "0 wrong answers",
        ("tests/fault/test_corruption.py",),
        told=r".*, served: \d+",
    ),
    Row(
        "audit-tampering",
        "The checks find tampering with the audit",
        "all of it; an untouched audit verifies",
        ("tests/fault/test_audit_tampering.py",),
    ),
    Row(
        "audit-flood",
        "Refused calls of a key do not fill the disk with records",
        "30 records a minute, and one for each reason; records and counts cover all calls; each answer has a record",
        ("tests/fault/test_audit_flood.py",),
    ),
    Row(
        "audit-pruning",
        "Pruning the audit loses no record before it is archived",
        "after each SIGKILL the archive and the store form one chain; on a full disk nothing changes",
        ("tests/fault/test_audit_pruning.py", "tests/property/test_audit.py"),
    ),
    Row(
        "evidence-tampering",
        "The check of an evidence bundle finds a change, and names the file",
        "every byte of every document",
        ("tests/fault/test_evidence_tampering.py",),
    ),
    Row(
        "hostile-http2",
        "The server refuses hostile HTTP/2 cheaply: bombs, endless metadata, floods of pings and resets",
        "p99 of others at most twice that of a quiet server, and no call above 1.5 s after 100,000 resets; "
        "64 MiB at most (512 MiB for metadata, 256 MiB for resets)",
        ("tests/fault/test_hostile_http2.py",),
    ),
    Row(
        "hostile-requests",
        "No single request ends the server: broken, too long or unfinished paths and headers",
        "refused, others served, nothing that was sent is in the log",
        ("tests/fault/test_hostile_requests.py",),
    ),
    Row(
        "gateway",
        "The TLS gateway closes clients that waste its connections",
        "silent, slow and idle clients are closed, others served",
        ("tests/fault/test_gateway_faults.py",),
    ),
    Row(
        "sandbox",
        "A photo that takes over its decoder costs only its own call",
        "one call each",
        ("tests/fault/test_sandbox_faults.py",),
    ),
    Row(
        "hostile-texts",
        "No text in a request or a file costs a server or a command much",
        "1,000 texts each of TOML, JSON, CSV and ZIP: at most 1 s and 100 MB each, "
        "p99 of others at most twice that of a quiet server",
        ("tests/fault/test_hostile_texts.py",),
    ),
    Row(
        "fuzz",
        "No damaged photo crashes the decoder or costs much",
        "0 crashes",
        ("tests/fault/test_mutants.py",),
    ),
    Row(
        "overload",
        "Overload costs no goodput, and the server refuses the excess calls quickly",
        "at five times the peak",
        ("tests/fault/test_overload.py",),
    ),
    Row(
        "cancel",
        "Cancelled calls leave nothing behind",
        "no thread, no memory, no work without a caller",
        ("tests/fault/test_cancelled.py",),
    ),
    Row(
        "erasure",
        "An erased subject leaves nothing in the files",
        "0 traces",
        ("tests/fault/test_erase_leaves_nothing.py",),
    ),
    Row(
        "backup",
        "Backups and restores survive damage, kills and full disks",
        "changes are found; an older backup stays valid",
        ("tests/fault/test_backup_faults.py",),
    ),
)
