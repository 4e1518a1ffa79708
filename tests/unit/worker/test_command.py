"""Programs in place of handlers, in real executors: what they get, what their end says, that nothing of them stays."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from streamsched.domain.command import Command
from streamsched.domain.options import CommandOptions, Options, write_options
from streamsched.domain.routing import COMMAND
from streamsched.worker import oom
from streamsched.worker.command import failure
from streamsched.worker.errors import describe
from streamsched.worker.jobs import Job, JobCompleted, JobFailed, JobStopped
from streamsched.worker.pool import ExecutorPool
from tests.support.needs import LINUX, compiler
from tests.unit.worker.pool_case import PATIENCE, Case, make_job, unstamped

pytestmark = [pytest.mark.slow, LINUX]
ALLOWED = ["pool_handlers", "$ /bin/sh", "$ sleep", "$ ./*", f"$ {sys.executable}"]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output.log"


@pytest.fixture
def case(tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    shutil.copy(Path(__file__).parent / "pool_handlers.py", tmp_path)
    with output.open("ab") as file:
        pool = ExecutorPool(1, allow=ALLOWED, output_fd=file.fileno())
    yield Case(pool)
    pool.close()


def program(
    name: str, *words: object, env: Mapping[str, object] | None = None, cwd: str = "", args: object = None,
    exit_codes: Mapping[str, str] | None = None, **fields: Any,
) -> Job:  # fmt: skip
    """Make a job of a program, as it comes from the work log."""
    options = Options(command=msgspec.convert({"exit_codes": dict(exit_codes or {})}, CommandOptions))
    body = {"args": args or {}, "words": list(words), "env": dict(env or {}), "cwd": cwd}
    job = make_job("a:b", options=write_options(options), **fields)
    return msgspec.structs.replace(job, handler=COMMAND + name, args=json.dumps(body))


def shell(script: str, *words: object, **fields: Any) -> Job:
    """Make the job of a shell's text, as a template with ``shell: true`` gives it."""
    lowered = Command(words=[script], shell=True).lowered()  # noqa: S604 - not Popen's
    return program("/bin/sh", *lowered["words"], *words, **fields)


def executable(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def gone(pids: Sequence[int]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(psutil.pid_exists(pid) for pid in pids)


def noted(case: Case, *files: Path) -> list[int]:
    """Wait until each file holds the number of a process."""
    case.until(lambda: all(file.exists() and file.read_text().endswith("\n") for file in files))
    return [int(file.read_text()) for file in files]


# --- what it gets -----------------------------------------------------------------------------------------------------


def test_it_gets_arguments_environment_folder_and_one_line(case: Case, tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    executable(tmp_path / "show", f"#!{sys.executable}\n" + """
import json, os, sys
line = sys.stdin.readline()
print("a first line")
print(json.dumps([sys.argv, os.environ["A"], os.getcwd(), json.loads(line), sys.stdin.read()]))
""")  # fmt: skip
    job = program(
        "./show", "b c", 5, 1.5, None, {"k": "é"}, ["x", "y z"], "$(id)", env={"A": [1]}, cwd="place",
        args={"deep": ["ü", 1]}, attempt=2, token=77,
    )  # fmt: skip
    ended = case.one(job, JobCompleted)
    argv, value, folder, line, rest = json.loads(ended.result or "")
    assert argv == [str(tmp_path / "show"), "b c", "5", "1.5", "null", '{"k":"\\u00e9"}', "x", "y z", "$(id)"]
    assert (value, folder, rest) == ("[1]", str(tmp_path / "place"), "")
    assert line == {"task": "task", "child": 3, "attempt": 2, "token": 77, "args": {"deep": ["ü", 1]}, "state": None}


def test_its_environment_is_that_of_handlers(case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STREAMSCHED_KAFKA_SASL_PASSWORD", "secret")
    monkeypatch.setenv("OF_THE_WORKER", "yes")
    pool = ExecutorPool(1, allow=ALLOWED)
    try:
        ended = Case(pool).one(
            shell('echo "\\"$OF_THE_WORKER-$STREAMSCHED_KAFKA_SASL_PASSWORD-$A\\""', env={"A": "1"}), JobCompleted
        )
    finally:
        pool.close()
    assert ended.result == '"yes--1"'


def test_a_large_line_that_is_not_read_holds_nothing_up(case: Case) -> None:
    job = shell("echo 1", args={"large": "x" * 200_000}, state=json.dumps("y" * 100_000))
    assert case.one(job, JobCompleted).result == "1"
    job = shell("wc -c", args={"large": "x" * 200_000})
    assert int(case.one(job, JobCompleted).result or 0) > 200_000


def test_it_has_a_session_and_no_descriptor_of_its_executor(case: Case) -> None:
    job = shell('ls /proc/self/fd | tr "\\n" " " >&2; [ "$(cut -d" " -f6 /proc/$$/stat)" = $$ ] && echo true')
    assert case.one(job, JobCompleted).result == "true"


def test_a_compiled_program(case: Case, tmp_path: Path) -> None:
    source = tmp_path / "sum.c"
    source.write_text("""
#include <stdio.h>
#include <stdlib.h>
int main(int count, char **words) {
    long sum = 0;
    for (int i = 1; i < count; i++) sum += atol(words[i]);
    printf("summed\\n{\\"sum\\": %ld}", sum);
    return 0;
}
""")
    subprocess.run([compiler(), "-o", tmp_path / "sum", source], check=True)
    assert case.one(program("./sum", 4, "5", [6, 7]), JobCompleted).result == '{"sum":22}'


# --- its end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "error_type", "retryable"),
    [
        ("exit 1", "Exit1", True),
        ("exit 3", "Exit3", False),
        ("exit 75", "Exit75", True),
        ("exit 137", "oom", True),
        ("exit 255", "Exit255", True),
        ("kill -9 $$", "SignalSIGKILL", True),
        ("kill -SEGV $$", "SignalSIGSEGV", True),
        ("kill -TERM $$", "SignalSIGTERM", True),
        ("kill -40 $$", "SignalSIGRTMIN+6", True),
    ],
)
def test_how_it_ends_is_the_type_of_the_error(case: Case, script: str, error_type: str, retryable: bool) -> None:
    ended = case.one(
        shell(f"echo 1; echo 'no such ünit' >&2; {script}", exit_codes={"75": "retry", "3": "fail"}), JobFailed
    )
    assert (ended.error_type.replace("SIG40", "SIGRTMIN+6"), ended.retryable) == (error_type, retryable)
    assert ended.message.startswith("the program /bin/sh ")
    assert ended.message.endswith("; the last that it said: no such ünit")
    assert (ended.reason, ended.traceback, ended.lack) == ("error", "", "")


def test_an_event_of_the_cgroup_is_oom_unless_the_exit_code_is_named(tmp_path: Path) -> None:
    assert type(failure("p", -9, {}, b"", starved=True)).__name__ == "oom"
    assert type(failure("p", 1, {}, b"", starved=True)).__name__ == "oom"
    named = failure("p", 1, {"1": "fail"}, b"", starved=True)
    assert (type(named).__name__, named.retryable) == ("Exit1", False)
    assert type(failure("p", 137, {"137": "retry"}, None, starved=False)).__name__ == "Exit137"
    assert "streamsched.Exit7" in describe(failure("p", 7, {}, None, starved=False)).error_types


@pytest.mark.parametrize(
    ("own", "file", "text"),
    [
        ("0::/a/b\n", "a/b/memory.events", "low 0\noom 3\noom_kill 2\n"),
        ("1:cpu:/\n0::/not/seen/here\n", "memory.events", "oom_kill 2\n"),
        ("0::/\n4:memory:/x\n", "memory/x/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
    ],
)
def test_the_kernel_counts_what_it_ends(own: str, file: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "own").write_text(own)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)
    assert oom.kills(str(tmp_path / "own"), str(tmp_path)) == 2
    assert oom.kills(str(tmp_path / "nothing"), str(tmp_path / "nowhere")) == 0
    assert oom.kills() >= 0


@pytest.mark.parametrize(
    ("script", "result"),
    [
        ("true", None),
        ("echo", None),
        ("echo 5", "5"),
        ("echo '[1]'; echo done", None),
        ("echo done; echo '{\"a\": 1}'", '{"a":1}'),
        ("echo '{\"a\": 1}'; echo; printf '  \\r\\n\\n'", '{"a":1}'),
        ("printf '{\"a\":\\n1}'", None),
        ("echo '{\"a\": NaN}'", None),
        ("echo NaN", None),
        ("echo '[1e999]'", None),
        ("printf '\"\\377\"'", None),
        ("printf '[\"\\303\\274\"]'", '["ü"]'),
        ("echo '\"\\ud800\"'", '"\\ud800"'),
        ("echo null", None),
        ("head -c 100000 /dev/zero | tr '\\0' '['", None),
        ("printf '\"'; head -c 262142 /dev/zero | tr '\\0' x; echo '\"'", '"' + "x" * 262_142 + '"'),
        ("printf '\"'; head -c 262143 /dev/zero | tr '\\0' x; echo '\"'", None),
        ("printf '\"'; head -c 5000000 /dev/zero | tr '\\0' x; echo '\"'", None),
        ("echo 7; head -c 3000000 /dev/zero | tr '\\0' ' '; echo 8 >&2", None),
    ],
)  # fmt: skip
def test_the_last_line_is_the_result_if_it_is_json(case: Case, script: str, result: str | None) -> None:
    assert case.one(shell(script), JobCompleted).result == result


def test_what_was_perhaps_meant_as_a_result_is_remarked_on(case: Case, output: Path) -> None:
    case.run(shell("echo '{\"a\": NaN}'"), shell("head -c 300000 /dev/zero"), shell("echo done"))
    case.pool.close()
    said = [line for line in output.read_text().splitlines() if "streamsched: no result" in line]
    assert len(said) == 2
    assert "the last line is not JSON" in said[0]
    assert "more than 262144 bytes" in said[1]


def test_output_is_that_of_the_child(case: Case, output: Path) -> None:
    case.one(shell("echo one; printf 'tw\\377o\\r3\\n'; printf open"), JobCompleted)
    case.one(shell("echo err >&2; exit 4"), JobFailed)
    case.pool.close()
    lines = unstamped(output).splitlines()
    assert lines == ["task[3]#1 one", "task[3]#1 tw\ufffdo", "task[3]#1 3", "task[3]#1 open", "task[3]#1 err"]


# --- what cannot be started -------------------------------------------------------------------------------------------


def test_what_is_not_there_is_for_another_worker(case: Case, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    (tmp_path / "folder").mkdir()
    executable(tmp_path / "binary", "\x00\x01\x02")
    executable(tmp_path / "lost", "#!/not/there\n")
    for name, said in [
        ("./missing", "command ./missing is not there: no such file at "),
        ("./plain", "plain may not be executed; chmod +x it"),
        ("./folder", "is not there"),
        ("./binary", "cannot be started: Exec format error; a script begins with a line such as #!/bin/sh"),
        ("./lost", "cannot be started: No such file or directory; a script begins"),
    ]:
        ended = case.one(program(name), JobFailed)
        assert (ended.error_type, ended.retryable, ended.lack, ended.traceback) == (
            "CommandNotFound",
            False,
            "import",
            "",
        )
        assert said in ended.message


def test_a_name_is_looked_for_on_the_path_of_the_worker_alone(case: Case, tmp_path: Path) -> None:
    executable(tmp_path / "sleep", "#!/bin/sh\necho '\"mine\"'\n")
    ended = case.one(program("sleep", "0", env={"PATH": str(tmp_path)}, cwd=str(tmp_path)), JobCompleted)
    assert ended.result is None


def test_only_what_is_allowed_runs(case: Case, tmp_path: Path) -> None:
    for name in ("/bin/echo", "echo", "/bin/../bin/sh", "./../bin/sh", "./..", "./a/b"):
        ended = case.one(program(name), JobFailed)
        assert (ended.error_type, ended.lack, ended.retryable) == ("HandlerNotAllowed", "module", False)
        assert f"but not command {name}; start it with --allow-command {name} to allow it" in ended.message


@pytest.mark.parametrize(
    ("job", "error_type", "retryable", "said"),
    [
        (shell("true", cwd="/not/there"), "CommandNotStarted", True, "'/not/there' of /bin/sh: No such file"),
        (shell("true", cwd="/dev/null"), "CommandNotStarted", True, "'/dev/null' of /bin/sh: Not a directory"),
        (shell("true", "a\0b"), "BadArguments", False, "cannot be passed"),
        (shell("true", "\ud800"), "BadArguments", False, "cannot be passed"),
        (shell("true", "x" * 200_000), "BadArguments", False, "too long for this system; what is long goes into args"),
        (msgspec.structs.replace(shell("true"), args="{}"), "BadArguments", False, "cannot be read"),
        (msgspec.structs.replace(shell("true"), args="["), "BadArguments", False, "cannot be read"),
        (msgspec.structs.replace(shell("true"), args='{"words":5}'), "BadArguments", False, "cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_called_fails_and_says_why(
    case: Case, job: Job, error_type: str, retryable: bool, said: str
) -> None:
    ended = case.one(msgspec.structs.replace(job, key=make_job().key), JobFailed)
    assert (ended.error_type, ended.retryable, ended.lack) == (error_type, retryable, "")
    assert said in ended.message


def test_a_program_that_is_just_being_written_is_tried_again(case: Case, tmp_path: Path) -> None:
    executable(tmp_path / "busy", "#!/bin/sh\n")
    shutil.copy("/bin/true", tmp_path / "busy")
    with (tmp_path / "busy").open("ab"):
        ended = case.one(program("./busy"), JobFailed)
    assert (ended.error_type, ended.retryable, ended.traceback) == ("CommandNotStarted", True, "")
    assert "Text file busy" in ended.message


def test_names_of_bytes_that_are_not_text_survive(case: Case, tmp_path: Path) -> None:
    name = os.fsdecode(b"a\xff.txt")
    (tmp_path / name).write_text("12")
    assert case.one(shell('cat "$1"', name), JobCompleted).result == "12"


# --- nothing of it stays ----------------------------------------------------------------------------------------------

TREE = (
    "setsid sleep 1000 & echo $! >session; "
    '(setsid sh -c "sleep 1001 & echo \\$! >orphan" &); '
    "sleep 1002 & echo $! >plain"
)


def test_what_it_left_ends_with_it_and_its_executor_stays(case: Case, tmp_path: Path) -> None:
    case.one(shell("true"), JobCompleted)
    before = case.pool.pids()
    job = shell(f"{TREE}; while ! [ -s orphan ]; do sleep 0.01; done; echo 1")
    assert case.one(job, JobCompleted).result == "1"
    assert gone([int((tmp_path / name).read_text()) for name in ("session", "orphan", "plain")])
    assert case.one(make_job("echo", args={"value": 3}), JobCompleted).result is not None
    assert case.pool.pids() == before


def test_one_that_closes_its_output_early_is_waited_for(case: Case, tmp_path: Path) -> None:
    job = shell("echo 5; exec >&- 2>&-; sleep 0.3; echo there > written")
    assert case.one(job, JobCompleted).result == "5"
    assert (tmp_path / "written").exists()


def test_a_stop_is_sigterm_to_its_group_then_a_kill_of_all(case: Case, tmp_path: Path) -> None:
    job = shell("trap 'echo bye; echo 7 > told; exit 0' TERM; sleep 1000 & echo $! > pid; wait")
    case.pool.submit([job])
    pids = noted(case, tmp_path / "pid")
    case.pool.stop(job.key, 10.0)
    (ended,) = case.endings(job)
    assert isinstance(ended, JobStopped), "it did not end its work"
    assert (tmp_path / "told").exists()
    assert gone(pids)
    deaf = shell(f"trap '' TERM; {TREE}; while true; do sleep 1; done")
    for file in tmp_path.glob("pid"):
        file.unlink()
    case.pool.submit([deaf])
    pids = noted(case, *(tmp_path / name for name in ("session", "orphan", "plain")))
    case.pool.stop(deaf.key, 0.3)
    (ended,) = case.endings(deaf)
    assert isinstance(ended, JobStopped)
    assert gone(pids)


def test_a_limit_ends_all_of_it(case: Case, tmp_path: Path) -> None:
    job = shell(f"{TREE}; sleep 1000", timeout_ms=1500)
    case.pool.submit([job])
    pids = noted(case, *(tmp_path / name for name in ("session", "orphan", "plain")))
    (ended,) = case.endings(job)
    assert isinstance(ended, JobFailed)
    assert (ended.error_type, ended.retryable) == ("Timeout", True)
    assert gone(pids)


def test_it_dies_with_its_executor(case: Case, tmp_path: Path) -> None:
    job = shell(f"echo printed; {TREE}; sleep 1000")
    case.pool.submit([job])
    pids = noted(case, *(tmp_path / name for name in ("session", "orphan", "plain")))
    os.kill(case.pool.pids()[0], signal.SIGKILL)
    (ended,) = case.endings(job)
    assert isinstance(ended, JobFailed)
    assert (ended.error_type, ended.retryable) == ("ExecutorDied", True)
    assert gone(pids)
    assert case.one(shell("echo 1"), JobCompleted).result == "1"


def test_it_dies_with_its_worker(tmp_path: Path) -> None:
    script = f"""
import os, sys, time
sys.path[:0] = {[str(Path(__file__).parents[3]), str(Path(__file__).parent)]!r}
os.chdir({str(tmp_path)!r})
from tests.unit.worker.test_command import ALLOWED, TREE, shell
from streamsched.worker.pool import ExecutorPool
pool = ExecutorPool(1, allow=ALLOWED)
pool.submit([shell(TREE + "; sleep 1000")])
while True:
    pool.poll(0.1)
"""
    worker = subprocess.Popen([sys.executable, "-c", script])
    try:
        files = [tmp_path / name for name in ("session", "orphan", "plain")]
        deadline = time.monotonic() + PATIENCE
        while not all(file.exists() and file.read_text().endswith("\n") for file in files):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        worker.kill()
        worker.wait()
    assert gone([int(file.read_text()) for file in files])


def test_one_that_runs_counts_as_alive(case: Case) -> None:
    assert case.one(shell("sleep 1; echo 2", heartbeat_ms=300), JobCompleted).result == "2"


def test_many_of_them_and_handlers_take_turns_in_one_executor(case: Case) -> None:
    jobs = [shell(f"echo {number}", child=number) if number % 3 else make_job("echo") for number in range(30)]
    ended = case.run(*jobs)
    assert all(isinstance(end, JobCompleted) for end in ended)
    assert [end.result for end in ended if isinstance(end, JobCompleted)][1:3] == ["1", "2"]


def test_output_without_end_costs_no_memory(case: Case, output: Path) -> None:
    case.one(shell("echo 1"), JobCompleted)
    (pid,) = case.pool.pids()
    before = psutil.Process().memory_info().rss
    ended = case.one(shell("head -c 300000000 /dev/zero; echo; echo 3"), JobCompleted)
    assert ended.result == "3"
    peak = int(Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()[0])
    assert peak < 60_000, f"{peak} KiB"
    assert psutil.Process().memory_info().rss - before < 100_000_000
