/** The runtime as a process of its own, for tests that kill it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export class KillableRuntime {
  #process: ChildProcess | undefined;

  constructor(private readonly env: Record<string, string>) {}

  /** Gives its URL when it is ready. */
  async start(): Promise<string> {
    const child = spawn(process.execPath, ['--import', 'tsx', 'test/support/runtime-process.ts'], {
      env: { ...process.env, PORT: '0', WARM_SANDBOXES: '0', OPENAI_API_KEY: 'test-key', ...this.env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#process = child;
    const [url] = await Promise.race([
      once(createInterface({ input: child.stdout }), 'line'),
      once(child, 'exit').then(() => Promise.reject(new Error('The runtime ended before it was ready.'))),
    ]);
    return String(url);
  }

  /** As `kill -9` does; nothing if it has ended. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
}
