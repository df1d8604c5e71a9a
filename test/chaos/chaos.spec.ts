/**
 * The service under kill -9, full disks, set clocks, damaged files and a model server in and out, at moments that a seed
 * draws, and under a burst; then what was acknowledged is compared with what is there. `npm run test:chaos`:
 *
 *   CHAOS_SEEDS=N     so many seeds in a row, drawn. default: 1
 *   CHAOS_SEED=N,M    those seeds; each draws the same tasks and troubles again, at about the same moments
 *   CHAOS_BURST=N     so many executions at once; 0: none. default: 300
 */
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isFinal } from '../../functions/execution/execution.ts';
import { freePort } from '../support/free-port.ts';
import { KillableRuntime } from '../support/killable-runtime.ts';
import { canMount, mountSmallDisk } from '../support/small-disk.ts';
import { Clients } from './clients.ts';
import { type Course, compare, leftIn, processesOf, readAll } from './comparison.ts';
import { ChaosModel } from './model.ts';
import { Random } from './random.ts';
import { drawTasks, type Task } from './tasks.ts';
import { Troubles } from './troubles.ts';

/** Milliseconds in which tasks come and troubles are made, and within which everything has ended after that. */
const TROUBLED = 15_000;
const PATIENCE = 200_000;

const drawn = () => Math.floor(Math.random() * 1_000_000);
const seeds = process.env.CHAOS_SEED
  ? process.env.CHAOS_SEED.split(',').map(Number)
  : Array.from({ length: Number(process.env.CHAOS_SEEDS ?? 1) }, drawn);
const burst = Number(process.env.CHAOS_BURST ?? 300);

/** Where the services keep their data, their temporary files, and what they say. */
let folder: string;
let temporary: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(tmpdir(), 'chaos-'));
  temporary = path.join(folder, 'tmp');
  fs.mkdirSync(temporary);
  if (!canMount) console.log('No disk is filled here: a small one can only be mounted by root.');
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

interface Service extends Course {
  runtime: KillableRuntime;
  dataDir: string;
  givenUp: AbortSignal;
}

interface ServiceOptions {
  tasks: Task[];
  random: Random;
  /** Whether only the tasks make it hard. */
  calm?: boolean;
}

/** Has `work` make trouble, then compares. Gives the figures in a sentence. */
async function withService(
  { tasks, random, calm = false }: ServiceOptions,
  work: (service: Service) => Promise<string>,
): Promise<void> {
  const begun = performance.now();
  const disk = canMount && !calm && random.chance(0.3) ? mountSmallDisk(100) : null;
  const dataDir = disk?.folder ?? path.join(folder, `data-${random.seed}`);
  const log = path.join(folder, `log-${random.seed}`);
  const model = await ChaosModel.start(tasks, calm ? null : random.fork('model'));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const runtime = new KillableRuntime(
    {
      PORT: String(port),
      DATA_DIR: dataDir,
      TMPDIR: temporary,
      OPENAI_BASE_URL: model.url,
      OPENAI_MODEL: 'test-model',
      POWERTOOLS_LOG_LEVEL: 'ERROR',
      WARM_SANDBOXES: String(random.between(0, 2)),
    },
    { log: fs.openSync(log, 'a') },
  );
  const [clock, database] = [random.chance(0.3), random.chance(0.2)];
  const troubles = new Troubles({ random, runtime, dataDir, model, clock, disk, database });
  const clients = new Clients(url, random.fork('clients'), () => troubles.lostBefore);
  const givenUp = AbortSignal.timeout(TROUBLED + PATIENCE);
  const service = { url, tasks, clients, model, troubles, runtime, dataDir, givenUp };
  try {
    await troubles.start();
    const told = await work(service);
    while (!givenUp.aborted) {
      const history = await clients.history();
      if (history?.every(({ status }) => isFinal(status))) break;
      await sleep(300);
    }
    const { faults, ...figures } = await compare(service);
    faults.push(...(await compareAfterwards(service)));
    const counts = Object.entries({ ...figures, 'model calls': model.asked.length, ...troubles.done });
    const seconds = ((performance.now() - begun) / 1000).toFixed(0);
    console.log(`${told}: ${counts.map(([name, count]) => `${count} ${name}`).join(', ')}; ${seconds} s`);
    if (faults.length > 0) console.log(fs.readFileSync(log, 'utf8').slice(-20_000));
    expect(faults).toEqual([]);
  } finally {
    await runtime.kill({ all: true });
    await model.goAway();
    disk?.remove();
    fs.rmSync(dataDir, { recursive: true, force: true });
  }
}

/** What differs after another kill, and what is left after an orderly end. */
async function compareAfterwards({ clients, runtime, dataDir }: Service): Promise<string[]> {
  const before = await readAll(clients);
  await runtime.kill();
  await runtime.start();
  const after = await readAll(clients);
  const changed = [...before].filter(([id, one]) => JSON.stringify(after.get(id)) !== JSON.stringify(one));
  await runtime.stop();
  return [
    ...changed.map(([id]) => `${id} is another after a restart`),
    ...processesOf(dataDir).map((process) => `Left: the process ${process}`),
    ...leftIn(dataDir, temporary).map((file) => `Left: ${file}`),
  ];
}

test.each(seeds)('nothing acknowledged is lost: CHAOS_SEED=%d', async (seed) => {
  const random = new Random(seed);
  const tasks = drawTasks(random.fork('tasks'), random.between(20, 45), TROUBLED - 3_000);
  await withService({ tasks, random }, async ({ clients, troubles, givenUp }) => {
    await Promise.all([troubles.make(TROUBLED), ...tasks.map((task) => clients.post(task, givenUp))]);
    return `seed ${seed}`;
  });
});

test.runIf(burst > 0)(`${burst} at once all end right`, async () => {
  const random = new Random(drawn());
  const tasks = drawTasks(random.fork('tasks'), burst, 0).map((task) => ({
    ...task,
    cancelAfter: null,
    prefer: 'respond-async',
  }));
  await withService({ tasks, random, calm: true }, async ({ clients, url, givenUp }) => {
    const looks: number[] = [];
    const looking = new AbortController();
    const look = async () => {
      while (!looking.signal.aborted) {
        const begun = performance.now();
        const { status } = await fetch(`${url}/api/health`);
        looks.push(performance.now() - begun);
        if (status !== 200) clients.faults.push(`/api/health answered ${status}`);
        await sleep(50);
      }
    };
    const looker = look();
    await Promise.all(tasks.map((task) => clients.post(task, givenUp)));
    looking.abort();
    await looker;
    return `${burst} at once: POST ${quantiles(clients.latencies)}, /health meanwhile ${quantiles(looks)}`;
  });
});

/** Of milliseconds. */
function quantiles(times: number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.ceil(share * sorted.length) - 1]?.toFixed(0);
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`;
}
