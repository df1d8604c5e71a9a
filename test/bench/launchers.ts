/**
 * A sandbox that is forked from the template against one that is started as a process: from its launch until it says
 * that it is ready, and the memory of one more that is idle, with Python alone and with the image's libraries.
 *
 * Memory is what one more sandbox adds to the PSS (`smaps_rollup`) and the page tables (`VmPTE`) of all processes of
 * its launcher, the template among them: shared pages count once, in parts.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { planSandbox } from '../../functions/sandbox/sandboxes.ts';
import type { LaunchedSandbox, Launcher } from '../../local/launchers/launcher.ts';
import { NurseryLauncher } from '../../local/launchers/nursery.ts';
import { ProcessLauncher } from '../../local/launchers/process.ts';
import { findPython } from '../../local/python.ts';
import { findEnvironment } from '../../local/python-environment.ts';
import { descendants } from '../support/processes.ts';
import { median, ms, ratio, report, timed } from './measure.ts';

const ROUNDS = 7;
const SANDBOX_IMAGE = path.join(import.meta.dirname, '../../sandbox-image');
const LIMITS = [
  { libraries: false, name: 'alone', readyMs: 50, memoryMb: 12 },
  { libraries: true, name: "with the image's libraries", readyMs: 100, memoryMb: 20 },
];

export async function benchLaunchers(): Promise<void> {
  for (const { libraries, name, readyMs, memoryMb } of LIMITS) {
    const dataDir = path.resolve(process.env.DATA_DIR?.trim() || '.data');
    const python = libraries ? (await findEnvironment(dataDir))?.python : await findPython();
    const promise = `a sandbox of Python ${name} is ready in ${readyMs} ms, and one more takes ${memoryMb} MiB`;
    if (!python) {
      report(promise, '`npm run packages` has not been run', null);
      continue;
    }
    const options = { cwd: SANDBOX_IMAGE, confinement: 'required' as const, log: () => {} };
    const started = await measure(new ProcessLauncher({ ...options, command: python }));
    const forked = await measure(new NurseryLauncher({ ...options, python }));
    report(
      promise,
      `${ms(forked.ready)} and ${mib(forked.memory)}, against ${ms(started.ready)} and ${mib(started.memory)} started ` +
        `as a process: ${ratio(forked.ready, started.ready)} and ${ratio(forked.memory, started.memory)}`,
      forked.ready <= readyMs && forked.memory <= memoryMb,
    );
  }
}

/** Medians; ready in ms, memory in MiB. The first sandbox waits for the template and is not counted. */
async function measure(launcher: Launcher): Promise<{ ready: number; memory: number }> {
  const sandboxes: LaunchedSandbox[] = [];
  const before = new Set(processIds());
  const used = () => total(processIds().filter((pid) => !before.has(pid)));
  const times: number[] = [];
  const added: number[] = [];
  try {
    for (let round = 0; round <= ROUNDS; round += 1) {
      const memory = used();
      const manifest = (await planSandbox('bench')).manifest_url;
      const time = await timed(async () => sandboxes.push(await launch(launcher, manifest)));
      if (round === 0) continue;
      times.push(time);
      added.push(used() - memory);
    }
    return { ready: median(times), memory: median(added) };
  } finally {
    for (const sandbox of sandboxes) sandbox.kill();
    await launcher.close();
  }
}

/** A sandbox, once it is ready. */
function launch(launcher: Launcher, manifest: string): Promise<LaunchedSandbox> {
  return new Promise((resolve, reject) => {
    const sandbox = launcher.launch(
      'bench',
      { MANIFEST_URL: manifest },
      {
        started() {},
        logged: (line) => line.includes('"message": "ready"') && resolve(sandbox),
        ended: (ending) => reject(new Error(`a sandbox has ended: ${JSON.stringify(ending)}`)),
      },
    );
  });
}

const processIds = () =>
  descendants(process.pid)
    .filter(({ name }) => name.startsWith('sandbox'))
    .map(({ pid }) => pid);

/** MiB that processes take together. */
function total(pids: number[]): number {
  const kilobytes = (file: string, name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(file, 'utf8'))?.[1]);
  const each = pids.map(
    (pid) => kilobytes(`/proc/${pid}/smaps_rollup`, 'Pss') + kilobytes(`/proc/${pid}/status`, 'VmPTE'),
  );
  return each.reduce((sum, one) => sum + one, 0) / 1024;
}

const mib = (size: number) => `${size.toFixed(1)} MiB`;
