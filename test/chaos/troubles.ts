/**
 * What happens to the service meanwhile, in lanes beside each other: its processes are killed, stopped and restarted, files
 * are damaged between two lives, the model server comes and goes, the clock is set, the disk fills.
 */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type KillableRuntime, kill } from '../support/killable-runtime.ts';
import { descendants, type RunningProcess } from '../support/processes.ts';
import type { SmallDisk } from '../support/small-disk.ts';
import type { ChaosModel } from './model.ts';
import type { Random } from './random.ts';

export interface TroubleOptions {
  random: Random;
  runtime: KillableRuntime;
  dataDir: string;
  model: ChaosModel;
  /** Whether the clock is set. */
  clock: boolean;
  /** The disk of the data folder, if it is filled. */
  disk: SmallDisk | null;
  /** Whether the database is damaged too, with which what was acknowledged is lost. */
  database: boolean;
}

type Part = 'template' | 'supervisor' | 'zygote' | 'program' | 'function';

/** By the name that a process gives itself. */
const PARTS: Record<string, Part> = {
  'sandbox-nursery': 'template',
  sandbox: 'supervisor',
  'sandbox-zygote': 'zygote',
  'sandbox-attempt': 'program',
};

const HOURS = 3_600_000;

export class Troubles {
  /** How often what was done. */
  readonly done: Record<string, number> = {};
  /** When a life ended, of `performance.now()`. */
  readonly ends: number[] = [];
  /** When the database was damaged, with what was acknowledged before. */
  lostBefore = Number.NEGATIVE_INFINITY;
  /** Ids of executions of which files were damaged. */
  readonly damaged = new Set<string>();
  /** Whether a disk that filled had a reply asked for again. */
  wasFull = false;
  /** What the runtime did that it should not have, a sentence each. */
  readonly faults: string[] = [];
  readonly #options: TroubleOptions;
  readonly #stopped = new Set<number>();
  #isFull = false;

  constructor(options: TroubleOptions) {
    this.#options = options;
  }

  count(...kinds: string[]): number {
    return kinds.reduce((sum, kind) => sum + (this.done[kind] ?? 0), 0);
  }

  /** Makes trouble for so many milliseconds, then takes it all away. */
  async make(milliseconds: number): Promise<void> {
    const { clock, disk, model, runtime } = this.#options;
    const until = performance.now() + milliseconds;
    await Promise.all([
      this.#lane('processes', until, 300, 2_000, (random) => this.#strike(random)),
      this.#lane('model', until, 1_000, 5_000, (random) => this.#troubleModel(random)),
      clock && this.#lane('clock', until, 1_000, 3_000, (random) => this.#setClock(random)),
      disk && this.#lane('disk', until, 2_000, 5_000, (random) => this.#fill(random, disk)),
    ]);
    for (const pid of this.#stopped) kill(pid, 'SIGCONT');
    await model.comeBack();
    model.mood = 'well';
    runtime.setClock(0);
    if (runtime.pid === undefined) await this.start();
  }

  /** Starts the next life, when there is room for it. */
  async start(): Promise<void> {
    for (;;) {
      const full = this.#isFull;
      try {
        await this.#options.runtime.start();
        return;
      } catch (error) {
        if (!full && !this.#isFull) throw error;
        await sleep(200);
      }
    }
  }

  async #lane(
    name: string,
    until: number,
    least: number,
    most: number,
    work: (random: Random) => void | Promise<void>,
  ): Promise<void> {
    const random = this.#options.random.fork(name);
    for (;;) {
      const pause = random.between(least, most);
      if (performance.now() + pause > until) return;
      await sleep(pause);
      await work(random);
    }
  }

  async #strike(random: Random): Promise<void> {
    const { runtime } = this.#options;
    if (runtime.pid === undefined) {
      this.faults.push('The runtime ended by itself.');
      return this.start();
    }
    const what = random.pick([
      'kill the process',
      'kill the group',
      'restart',
      ...(['template', 'supervisor', 'supervisor', 'zygote', 'zygote', 'program', 'function'] as const),
      ...(['stop a supervisor', 'stop a supervisor', 'stop a template'] as const),
    ] as const);
    const wait = random.between(0, 1_000);
    const damage = random.chance(0.3) ? random.fork('damage') : null;
    switch (what) {
      case 'kill the process':
      case 'kill the group':
        await runtime.kill({ all: what === 'kill the group' });
        return this.#revive(what, wait, damage);
      case 'restart':
        await runtime.stop();
        return this.#revive(what, wait, damage);
      case 'stop a supervisor':
      case 'stop a template': {
        const pid = this.#pick(what === 'stop a template' ? 'template' : 'supervisor', random);
        if (pid === undefined || !kill(pid, 'SIGSTOP')) return;
        this.#note(what);
        this.#stopped.add(pid);
        void sleep(3 * wait).then(() => this.#stopped.delete(pid) && kill(pid, 'SIGCONT'));
        return;
      }
      default: {
        const pid = this.#pick(what, random);
        if (pid !== undefined && kill(pid, 'SIGKILL')) this.#note(`kill a ${what}`);
      }
    }
  }

  async #revive(what: string, wait: number, damage: Random | null): Promise<void> {
    this.#note(what);
    this.ends.push(performance.now());
    await sleep(wait);
    if (damage) this.#damage(damage);
    await this.start();
  }

  #pick(part: Part, random: Random): number | undefined {
    const found = partsOf(this.#options.runtime.pid ?? 0).filter((process) => process.part === part);
    return found.length > 0 ? random.pick(found).pid : undefined;
  }

  #damage(random: Random): void {
    const { dataDir, database } = this.#options;
    const objects = filesBelow(path.join(dataDir, 's3'));
    const file = random.pick([
      path.join(dataDir, 'credentials.json'),
      path.join(dataDir, 'state.sqlite-shm'),
      path.join(dataDir, 'state.sqlite.lock'),
      ...(objects.length > 0 ? [random.pick(objects), random.pick(objects), random.pick(objects)] : []),
      ...(database ? [path.join(dataDir, 'state.sqlite'), path.join(dataDir, 'state.sqlite-wal')] : []),
    ]);
    if (!fs.existsSync(file)) return;
    const { size } = fs.statSync(file);
    const how = random.pick(['empty', 'cut', 'overwrite'] as const);
    if (how === 'overwrite') fs.writeFileSync(file, Buffer.alloc(size, 'damage'));
    else fs.truncateSync(file, how === 'empty' ? 0 : random.between(0, Math.max(0, size - 1)));
    const [, kind = path.basename(file), id = ''] =
      /\/s3\/[^/]+\/(executions|mailbox)\/([^/]+)\//.exec(file) ?? [];
    this.#note(`${how} ${kind}`);
    if (kind === 'executions') this.damaged.add(id);
    // It looks the same with a log that is empty, or ends early.
    if (/^state\.sqlite(-wal)?$/.test(kind)) this.lostBefore = performance.now();
  }

  async #troubleModel(random: Random): Promise<void> {
    const { model } = this.#options;
    const what = random.pick(['away', 'unavailable', 'limited', 'slow'] as const);
    const time = random.between(300, 4_000);
    this.#note(`model ${what}`);
    if (what === 'away') {
      await model.goAway();
      await sleep(time);
      await model.comeBack();
    } else {
      model.mood = what;
      await sleep(time);
      model.mood = 'well';
    }
  }

  #setClock(random: Random): void {
    const ahead = random.pick([-HOURS, -30_000, -1_000, 0, 1_000, 30_000, HOURS]);
    this.#options.runtime.setClock(ahead);
    this.#note('set the clock');
  }

  async #fill(random: Random, disk: SmallDisk): Promise<void> {
    this.#note('fill the disk');
    this.wasFull = true;
    this.#isFull = true;
    disk.fill();
    await sleep(random.between(300, 3_000));
    disk.free();
    this.#isFull = false;
  }

  #note(what: string): void {
    this.done[what] = (this.done[what] ?? 0) + 1;
  }
}

function filesBelow(folder: string): string[] {
  if (!fs.existsSync(folder)) return [];
  const entries = fs.readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => path.join(parentPath, name));
}

/** The parts of the service whose main process is `pid`. */
function partsOf(pid: number): (RunningProcess & { part: Part })[] {
  return descendants(pid).flatMap((process) => {
    const isFunction = process.command.includes('python_runtime.py');
    const part = isFunction ? 'function' : PARTS[process.name];
    return part ? [{ ...process, part }] : [];
  });
}
