/** Sandboxes that are forks of a template, and what becomes of them when that is gone: real ones, without a mailbox. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import type { Ending, LaunchedSandbox } from '../../local/launchers/launcher.ts';
import { NurseryLauncher, type NurseryOptions } from '../../local/launchers/nursery.ts';
import { findPython } from '../../local/python.ts';
import { children, descendants, isAlive } from '../support/processes.ts';
import { Inbox, temporaryFolder } from './support.ts';

const SANDBOX_IMAGE = path.join(import.meta.dirname, '../../sandbox-image');
const python = await findPython();

/** Hears of the sandboxes that are at work, and keeps them waiting for their manifest. */
const asked = new Inbox<string>();
const server = createServer(({ url = '' }) => asked.put(url)).listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address() as AddressInfo;
afterAll(() => server.close());

let launcher: NurseryLauncher;
let logged: Inbox<string>;
const launched: LaunchedSandbox[] = [];

function start(options: Partial<NurseryOptions> = {}) {
  logged = new Inbox();
  const log: NurseryOptions['log'] = (_level, message) => logged.put(message);
  launcher = new NurseryLauncher({ python, cwd: SANDBOX_IMAGE, confinement: 'required', log, ...options });
}
afterEach(async () => {
  for (const sandbox of launched.splice(0)) sandbox.kill();
  await launcher.close();
});

let sandboxNumber = 0;

function launch(environment: Record<string, string> = {}) {
  const url = `/${++sandboxNumber}`;
  const said = new Inbox<string | Ending>();
  const sandbox = launcher.launch(
    'one',
    { MANIFEST_URL: `http://127.0.0.1:${port}${url}`, ...environment },
    {
      started: () => said.put('started'),
      logged: (line) => said.put(line),
      ended: (ending) => said.put(ending),
    },
  );
  launched.push(sandbox);
  const ended = said.next((word) => typeof word !== 'string');
  const atWork = asked.next((path) => path === url);
  return { sandbox, said, started: said.next((word) => word === 'started'), atWork, ended };
}

const all = () => descendants(process.pid).filter(({ name }) => name.startsWith('sandbox'));
const templates = () => all().filter(({ name }) => name === 'sandbox-nursery');
const sandboxes = () => all().filter(({ name }) => name === 'sandbox');
const forks = () => sandboxes().filter(({ command }) => command.includes('nursery'));
/** Those that were started as processes of their own. */
const processes = () => sandboxes().filter(({ command }) => !command.includes('nursery'));

/** A sandbox that is a fork, so that the template is there. */
async function up() {
  const first = launch();
  await first.atWork;
  expect([forks().length, processes().length]).toEqual([1, 0]);
  return first;
}

describe('a sandbox of the nursery', () => {
  test('is a fork of the template, tells what it logs and its exit code, and is asked to end before it is killed', async () => {
    start();
    const [told, killed, bad] = [await up(), launch(), launch({ SANDBOX_MEMORY_MB: 'many' })];
    told.sandbox.stop();
    expect(await told.ended).toEqual({ exitCode: 0 });
    expect(told.said.items).toContainEqual(expect.stringContaining('told to end'));
    await killed.started;
    killed.sandbox.kill();
    expect(await killed.ended).toEqual({ exitCode: 137 });
    expect(await bad.ended).toEqual({ exitCode: 1 });
    expect(bad.said.items).toContainEqual(expect.stringContaining('SANDBOX_MEMORY_MB must be'));
    await expect.poll(sandboxes).toEqual([]);
  });

  test('that is stopped before it is there never lives', async () => {
    start();
    const { sandbox, ended } = launch();
    sandbox.stop();
    // It may have been forked by then, and not have heard of its work.
    expect([{ exitCode: 0 }, { exitCode: 143 }]).toContainEqual(await ended);
    await expect.poll(sandboxes).toEqual([]);
  });

  test('ends with the launcher, as does the template', async () => {
    start();
    await up();
    const there = all();
    for (const sandbox of launched.splice(0)) sandbox.stop();
    await launcher.close();
    await expect.poll(() => there.filter(({ pid }) => isAlive(pid))).toEqual([]);
  });
});

describe('without the template', () => {
  test('killed: its sandboxes live on, others are started as processes until a new one is up', async () => {
    start();
    const before = await up();
    const [{ pid } = { pid: 0 }] = forks();
    process.kill(templates()[0]?.pid ?? 0, 'SIGKILL');
    await logged.next((message) => message.includes('template'));
    await launch().started;
    await expect.poll(() => processes().length).toBe(1);
    expect(isAlive(pid)).toBe(true);
    before.sandbox.stop();
    // Nobody has seen with what.
    expect(await before.ended).toEqual({ exitCode: null });
    expect(isAlive(pid)).toBe(false);
    await expect.poll(() => templates().length, { timeout: 10_000 }).toBe(1);
    await launch().started;
    expect([forks().length, processes().length]).toEqual([1, 1]);
  });

  test('killed while sandboxes wait for it to come up: they are started as processes', async () => {
    start();
    const waiting = [launch(), launch()];
    process.kill(
      children(process.pid).find(({ command }) => command.includes('nursery'))?.pid ?? 0,
      'SIGKILL',
    );
    for (const { started } of waiting) await started;
    await expect.poll(() => processes().length).toBe(2);
  });

  test('that hangs: it is killed, and what waits for it is started as a process', async () => {
    start({ forkTimeout: 300 });
    await up();
    const [{ pid } = { pid: 0 }] = templates();
    process.kill(pid, 'SIGSTOP');
    await launch().started;
    await expect.poll(() => processes().length).toBe(1);
    expect(isAlive(pid)).toBe(false);
  });

  test('that is slow: it is not taken for one that hangs as long as one fork comes after the other', async () => {
    // It stands in for a busy machine, and says of processes that do nothing that they are its forks.
    const slow = `#!${python}
import json, os, socket, subprocess, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[-1] + "/socket")
listener.listen()
print(json.dumps({"nursery": {"socket": sys.argv[-1] + "/socket"}}), flush=True)
connections = []
while True:
    connections.append(listener.accept()[0])
    time.sleep(0.3)
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    connections[-1].sendall(json.dumps({"nursery": {"pid": child.pid}}).encode() + b"\\n")
`;
    const script = path.join(temporaryFolder(), 'python3');
    writeFileSync(script, slow, { mode: 0o755 });
    start({ python: script, forkTimeout: 1000 });
    for (const { started } of Array.from({ length: 5 }, () => launch())) await started;
    expect(children(process.pid).filter(({ command }) => command.includes('nursery'))).toHaveLength(1);
    expect(logged.items).toEqual([]);
  });

  test('that cannot be reached any more: it is replaced', async () => {
    start();
    await up();
    const [{ pid, command } = { pid: 0, command: '' }] = templates();
    rmSync(/[^" ]*sandbox-nursery-[\w-]+/.exec(command)?.[0] ?? '', { recursive: true });
    await launch().started;
    await expect.poll(() => processes().length).toBe(1);
    await expect.poll(() => isAlive(pid)).toBe(false);
  });

  test('that cannot come up: everything is started as a process', async () => {
    const script = path.join(temporaryFolder(), 'python3');
    writeFileSync(
      script,
      `#!/bin/sh\ncase "$*" in *--nursery*) echo broken >&2; exit 3;; esac\nexec ${python} "$@"\n`,
      {
        mode: 0o755,
      },
    );
    start({ python: script });
    await launch().started;
    await logged.next((message) => message === 'broken');
    await launch().started;
    await expect.poll(() => processes().length).toBe(2);
  });

  test('with the process that started it: the next one removes its folder, and no other', async () => {
    const gone = spawnSync('true').pid;
    const [forgotten, used] = [gone, process.pid].map((pid) =>
      mkdtempSync(path.join(tmpdir(), `sandbox-nursery-${pid}-`)),
    ) as [string, string];
    start();
    await launch().started;
    expect([forgotten, used].map((folder) => existsSync(folder))).toEqual([false, true]);
    rmSync(used, { recursive: true });
  });

  test('nor a folder for it: everything is started as a process', async () => {
    const { TMPDIR } = process.env;
    process.env.TMPDIR = '/does/not/exist';
    try {
      start();
    } finally {
      if (TMPDIR === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = TMPDIR;
    }
    await launch().started;
    await expect.poll(() => processes().length).toBe(1);
  });

  test('nor a Python: the sandbox says why it was not started', async () => {
    start({ python: '/does/not/exist' });
    expect(await launch().ended).toEqual({ notStarted: expect.stringContaining('/does/not/exist') });
  });
});
