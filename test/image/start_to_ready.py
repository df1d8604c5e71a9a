"""Prints the seconds that a sandbox takes from its start until it is ready, and the isolation in force."""

import sys
import time

sys.path.insert(0, "/opt/sandbox/program")
sys.path.insert(0, "/opt/sandbox/program/tests")
from sandbox_process import SandboxProcess

start = time.monotonic()
sandbox = SandboxProcess(policy_check=True)
ready = sandbox.ready()
seconds = time.monotonic() - start
sandbox.close()
print(f"start to ready: {seconds:.2f} s, Python {ready['python']}, {len(ready['packages'])} packages")
print("isolation: " + ", ".join(f"{layer} {state}" for layer, state in ready["isolation"].items()))
