/**
 * A sandbox that is forked from the template against one that is started as a process, with Python alone and with the
 * image's libraries: from its launch until it says that it is ready, the processor's time that this takes, and the
 * memory of one more that is idle.
 *
 * Memory is what one more sandbox adds to the PSS (`smaps_rollup`) and the page tables (`VmPTE`) of all processes of
 * its launcher, the template among them: shared pages count once, in parts.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
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
/** `ready`: the share of the time of one that is started as a process; 50 and 100 ms on an idle machine. */
const LIMITS = [
  { libraries: false, name: 'alone', ready: 0.22, memory: 12 },
  { libraries: true, name: "with the image's libraries", ready: 0.06, memory: 20 },
];

/** Medians: until it is ready, in ms, of the clock and of the processor; memory in MiB. */
interface Cost {
  ready: number;
  cpu: number;
  memory: number;
}

export async function benchLaunchers(): Promise<void> {
  for (const limit of LIMITS) {
    const dataDir = path.resolve(process.env.DATA_DIR?.trim() || '.data');
    const python = limit.libraries ? (await findEnvironment(dataDir))?.python : await findPython();
    const promise =
      `a sandbox of Python ${limit.name} is ready in at most ${limit.ready} × of the time that one takes which is ` +
      `started as a process, and one more takes at most ${limit.memory} MiB`;
    if (!python) {
      report(promise, '`npm run packages` has not been run', null);
      continue;
    }
    const options = { cwd: SANDBOX_IMAGE, confinement: 'required' as const, log: () => {} };
    const started = await measure(new ProcessLauncher({ ...options, command: python }));
    const forked = await measure(new NurseryLauncher({ ...options, python }));
    report(
      promise,
      `${ratio(forked.ready, started.ready)} (${inWords(forked)} against ${inWords(started)}; load ${loadavg()[0]?.toFixed(1)})`,
      forked.ready <= limit.ready * started.ready && forked.memory <= limit.memory,
    );
  }
}

const inWords = ({ ready, cpu, memory }: Cost) => `${ms(ready)}, ${ms(cpu)} CPU, ${memory.toFixed(1)} MiB`;

/** The first sandbox waits for the template and is not counted. */
async function measure(launcher: Launcher): Promise<Cost> {
  const sandboxes: LaunchedSandbox[] = [];
  const before = new Set(processIds());
  const own = () => processIds().filter((pid) => !before.has(pid));
  const costs: Cost[] = [];
  try {
    for (let round = 0; round <= ROUNDS; round += 1) {
      const manifest = (await planSandbox('bench')).manifest_url;
      const [cpu, memory] = [sum(own(), cpuTime), sum(own(), memoryOf)];
      const ready = await timed(async () => sandboxes.push(await launch(launcher, manifest)));
      if (round === 0) continue;
      costs.push({ ready, cpu: sum(own(), cpuTime) - cpu, memory: sum(own(), memoryOf) - memory });
    }
  } finally {
    for (const sandbox of sandboxes) sandbox.kill();
    await launcher.close();
  }
  const of = (name: keyof Cost) => median(costs.map((cost) => cost[name]));
  return { ready: of('ready'), cpu: of('cpu'), memory: of('memory') };
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

const sum = (pids: number[], of: (pid: number) => number) => pids.reduce((total, pid) => total + of(pid), 0);

/** ms that the threads of a process have run. */
function cpuTime(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  return sum(
    threads.map(Number),
    (tid) => Number(read(`/proc/${pid}/task/${tid}/schedstat`).split(' ')[0]) / 1e6,
  );
}

/** MiB */
function memoryOf(pid: number): number {
  const kilobytes = (file: string, name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(read(file))?.[1]);
  return (kilobytes(`/proc/${pid}/smaps_rollup`, 'Pss') + kilobytes(`/proc/${pid}/status`, 'VmPTE')) / 1024;
}

const read = (file: string) => readFileSync(file, 'utf8');
