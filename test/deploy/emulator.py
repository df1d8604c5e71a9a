"""Runs the emulator ministack, with what of AWS it lacks and the product needs:

- RunTask of a Step Functions state answers in PascalCase, as every AWS SDK integration does.
- A task is the real sandbox program: a process, or a container of SANDBOX_IMAGE.
- ECS tells EventBridge what becomes of a task.

README.md, beside this, lists the other differences. Ends its tasks when it ends.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ministack.app import main
from ministack.services import ecs, eventbridge, stepfunctions

PROGRAM = Path(__file__).parents[2] / "sandbox-image"
IMAGE = os.environ.get("SANDBOX_IMAGE")
IMAGE_FLAGS = os.environ.get("SANDBOX_IMAGE_FLAGS", "").split()
# Seconds from SIGTERM to SIGKILL, as in the task definition.
STOP_TIMEOUT = 2

processes: dict[str, subprocess.Popen[bytes]] = {}
# A sandbox ends with the thread that started it, so that one must live as long as the emulator.
starter = ThreadPoolExecutor(max_workers=1)


def start(arn: str, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **variables}
    if IMAGE:
        name = f"--name={arn.rsplit('/', 1)[-1]}"
        given = [f"--env={variable}" for variable in variables]
        command = ["docker", "run", "--rm", "--network=host", name, *IMAGE_FLAGS, *given, IMAGE]
        environment["DOCKER_HOST"] = os.environ.get("DOCKER_HOST", "")
    else:
        command = [sys.executable, "-m", "sandbox"]
        environment["SANDBOX_EXIT_WITH_PARENT"] = "1"
    return subprocess.Popen(command, cwd=PROGRAM, env=environment, start_new_session=True)


def stop(arn: str) -> None:
    process = processes.get(arn)
    if process is None:
        return
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def watch(arn: str, account: str, region: str) -> None:
    """Waits for the end of a task's process and tells of it."""
    code = processes[arn].wait()
    del processes[arn]
    with ecs.request_scope(account, region):
        task = ecs._tasks[arn]
        ecs._mark_task_stopped(
            arn, task, "Essential container in task exited", "EssentialContainerExited", code
        )
        tell(task)


def tell(task: dict[str, Any]) -> None:
    event = {
        "Source": "aws.ecs",
        "DetailType": "ECS Task State Change",
        "Detail": json.dumps(ecs._sanitize(task), default=str),
        "Resources": [task["taskArn"]],
    }
    eventbridge._put_events({"Entries": [event]}, allow_aws_source=True)


run_task, stop_task = ecs._run_task, ecs._stop_task


def run_sandbox(data: dict[str, Any]) -> Any:
    answer = run_task(data)
    account, region = ecs.get_account_id(), ecs.get_region()
    [override] = data["overrides"]["containerOverrides"]
    variables = {one["name"]: one["value"] for one in override["environment"]}
    for described in json.loads(answer[2]).get("tasks", []):
        arn = described["taskArn"]
        processes[arn] = starter.submit(start, arn, variables).result()
        threading.Thread(target=watch, args=(arn, account, region), daemon=True).start()
    return answer


def stop_sandbox(data: dict[str, Any]) -> Any:
    answer = stop_task(data)
    arn = json.loads(answer[2]).get("task", {}).get("taskArn", "")
    threading.Thread(target=stop, args=(arn,), daemon=True).start()
    return answer


def pascal_case(value: Any) -> Any:
    if isinstance(value, list):
        return [pascal_case(one) for one in value]
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: pascal_case(one) for key, one in value.items()}
    return value


def kill_all() -> None:
    for process in list(processes.values()):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def replace(name: str, operation: Any) -> None:
    """In the module, and in its tables of operations."""
    replaced = getattr(ecs, name)
    for table in [value for value in vars(ecs).values() if isinstance(value, dict)]:
        table.update({key: operation for key, value in table.items() if value is replaced})
    setattr(ecs, name, operation)


replace("_run_task", run_sandbox)
replace("_stop_task", stop_sandbox)
RUN_TASK = "arn:aws:states:::ecs:runTask"
[table] = [value for value in vars(stepfunctions).values() if isinstance(value, dict) and RUN_TASK in value]
invoke = table[RUN_TASK]
table[RUN_TASK] = lambda resource, data: pascal_case(invoke(resource, data))
atexit.register(kill_all)

if __name__ == "__main__":
    # Ends with the test, however that ends.
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    main()
