"""The same two attempts by a peer: ask an OpenAI-compatible server, run the answer, fail, ask and run again.

`peers.py BASE_URL ROUNDS PEER` prints the milliseconds of each round as JSON. One that warms up is left out.
Each peer is imported where it is used, so that none pays for another.
"""

import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from openai import OpenAI

BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
PROMPTS = {"smolagents": "peer smolagents", "autogen": "peer autogen", "subprocess": "peer subprocess"}


def smolagents(base_url: str) -> Callable[[], None]:
    """A CodeAgent with its own local executor."""
    from smolagents import CodeAgent, LogLevel, OpenAIServerModel

    model = OpenAIServerModel(model_id="bench", api_base=base_url, api_key="bench")

    def work() -> None:
        agent = CodeAgent(tools=[], model=model, max_steps=3, verbosity_level=LogLevel.OFF)
        assert agent.run(PROMPTS["smolagents"]) == 2, "smolagents: not as scripted"

    return work


def autogen(base_url: str) -> Callable[[], None]:
    """A loop over AutoGen's model client and its local executor."""
    from autogen_core import CancellationToken
    from autogen_core.code_executor import CodeBlock
    from autogen_core.models import ModelFamily, ModelInfo, UserMessage
    from autogen_ext.code_executors.local import LocalCommandLineCodeExecutor
    from autogen_ext.models.openai import OpenAIChatCompletionClient

    info = ModelInfo(
        vision=False,
        function_calling=False,
        json_output=False,
        family=ModelFamily.UNKNOWN,
        structured_output=False,
    )
    client = OpenAIChatCompletionClient(model="bench", base_url=base_url, api_key="bench", model_info=info)

    async def attempts() -> None:
        with tempfile.TemporaryDirectory() as folder:
            executor = LocalCommandLineCodeExecutor(work_dir=folder)
            await executor.start()
            message = PROMPTS["autogen"]
            for exit_code in (1, 0):
                answer = await client.create([UserMessage(content=message, source="user")])
                code = first_block(str(answer.content))
                block = CodeBlock(code=code, language="python")
                result = await executor.execute_code_blocks([block], CancellationToken())
                assert result.exit_code == exit_code, f"autogen: {result.output}"
                message = f"{PROMPTS['autogen']}\n{result.output}"
            await executor.stop()

    loop = asyncio.new_event_loop()
    return lambda: loop.run_until_complete(attempts())


def by_hand(base_url: str) -> Callable[[], None]:
    """The shortest loop that anybody would write."""
    client = OpenAI(base_url=base_url, api_key="bench")

    def work() -> None:
        message = PROMPTS["subprocess"]
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "main.py"
            for exit_code in (1, 0):
                answer = client.chat.completions.create(
                    model="bench", messages=[{"role": "user", "content": message}]
                )
                script.write_text(first_block(answer.choices[0].message.content or ""))
                ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
                assert ran.returncode == exit_code, f"subprocess: {ran.stderr}"
                message = f"{PROMPTS['subprocess']}\n{ran.stderr}"

    return work


def first_block(text: str) -> str:
    """The program in a reply."""
    found = BLOCK.search(text)
    assert found, f"no program in {text!r}"
    return found[1]


def main() -> None:
    base_url, rounds, peer = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    work = {"smolagents": smolagents, "autogen": autogen, "subprocess": by_hand}[peer](base_url)
    times = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        work()
        times.append((time.perf_counter() - begun) * 1000)
    print(json.dumps(times[1:]))


if __name__ == "__main__":
    main()
