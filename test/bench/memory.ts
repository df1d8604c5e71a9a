/**
 * npm run bench:memory -- N: what the runtime's process holds after each tenth of N executions (default: 1,000): the heap
 * after a collection, and the resident memory. The model and the callers are in another process.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Execution } from '../../functions/execution/execution.ts';
import { startRuntime } from '../../local/runtime.ts';
import { readSettings } from '../../local/settings.ts';
import { python, startModelServer } from '../support/model-server.ts';

const AT_ONCE = 4;
const megabytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;

if (process.send) await serve();
else await measure(Number(process.argv[2] ?? 1_000));

/** The runtime, which tells its heap when it is asked. */
async function serve(): Promise<void> {
  const { url } = await startRuntime(readSettings());
  process.on('message', () => {
    globalThis.gc?.();
    process.send?.({ heap: process.memoryUsage().heapUsed });
  });
  process.on('disconnect', () => process.exit());
  process.send?.({ url });
}

async function measure(total: number): Promise<void> {
  const model = await startModelServer();
  const folder = mkdtempSync(path.join(tmpdir(), 'bench-memory-'));
  const child = fork(import.meta.filename, {
    execArgv: ['--import', 'tsx', '--expose-gc'],
    env: {
      ...process.env,
      OPENAI_BASE_URL: model.url,
      OPENAI_API_KEY: 'bench',
      DATA_DIR: folder,
      PORT: '0',
    },
  });
  const { url } = await answer<{ url: string }>(child);
  const tell = async (ended: number) => {
    child.send('heap');
    const { heap } = await answer<{ heap: number }>(child);
    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
    const resident = Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
    process.stdout.write(
      `${String(ended).padStart(6)} executions: heap ${megabytes(heap)}, resident ${megabytes(resident)}\n`,
    );
  };
  try {
    await tell(0);
    for (let ended = 0; ended < total; ) {
      const until = Math.min(total, ended + Math.ceil(total / 10));
      const queue = Array.from({ length: until - ended }, () => ++ended);
      await Promise.all(
        Array.from({ length: AT_ONCE }, async () => {
          for (let n = queue.pop(); n !== undefined; n = queue.pop()) await run(n);
        }),
      );
      // What was asked of the model is of no use here.
      model.requests.length = 0;
      await tell(until);
    }
  } finally {
    child.disconnect();
    await once(child, 'exit');
    await model.close();
    rmSync(folder, { recursive: true });
  }

  /** @throws Error if it does not end as it should */
  async function run(n: number): Promise<void> {
    const prompt = `Memory task ${n}.`;
    model.replyTo(prompt, python('print(1 / 0)'), python(`print(${n})`));
    const response = await fetch(`${url}/api/execute`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', prefer: 'wait=25' },
      body: JSON.stringify({ prompt }),
    });
    let execution = (await response.json()) as Execution;
    while (!execution.finished_at) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      execution = (await (
        await fetch(`${url}/api/executions/${execution.execution_id}`)
      ).json()) as Execution;
    }
    if (execution.final_result?.output !== `${n}\n`) throw new Error(`execution ${n}: ${execution.error}`);
  }
}

async function answer<T>(child: ChildProcess): Promise<T> {
  const done = new AbortController();
  try {
    const [message] = await Promise.race([
      once(child, 'message', done),
      once(child, 'exit', done).then(() => Promise.reject(new Error('The runtime ended.'))),
    ]);
    return message as T;
  } finally {
    done.abort();
  }
}
