/** The model that the tasks are given to: it knows their replies, is in trouble as drawn, and keeps what it was asked. */
import {
  type ModelRequest,
  type ModelServer,
  type ScriptedReply,
  startModelServer,
} from '../support/model-server.ts';
import type { Random } from './random.ts';
import type { Task } from './tasks.ts';

/** How all requests are answered for a while. */
export type Mood = 'well' | 'unavailable' | 'limited' | 'slow';

export interface Asked {
  task: Task;
  attempt: number;
  /** Of `performance.now()`. */
  at: number;
  /** It was answered with less than its whole reply. */
  troubled: boolean;
}

const BROKEN: ScriptedReply[] = [
  { text: '```python\nprint("never wh', ending: 'drop' },
  { text: '```python\nprint("never wh', ending: 'end' },
];
const REFUSED: ScriptedReply[] = [
  { status: 500 },
  { status: 502, body: '<html>Bad gateway</html>' },
  { status: 503, headers: { 'retry-after': '1' } },
  { status: 429, headers: { 'retry-after': '0' } },
];

export class ChaosModel {
  readonly asked: Asked[] = [];
  mood: Mood = 'well';
  readonly url: string;
  readonly #tasks: Map<string, Task>;
  readonly #random: Random | null;
  /** What an attempt is answered before its reply. */
  readonly #troubles = new Map<string, ScriptedReply[]>();
  #server: ModelServer | undefined;

  /** `random` draws its troubles; null: it has none. */
  static async start(tasks: Task[], random: Random | null): Promise<ChaosModel> {
    const model = new ChaosModel(tasks, random, await startModelServer());
    // On the same port, with its answers.
    await model.goAway();
    await model.comeBack();
    return model;
  }

  private constructor(tasks: Task[], random: Random | null, server: ModelServer) {
    this.#tasks = new Map(tasks.map((task) => [task.name, task]));
    this.#random = random;
    this.#server = server;
    this.url = server.url;
  }

  /** From here on connections are refused, and those that are open break off. */
  async goAway(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await server?.close();
  }

  async comeBack(): Promise<void> {
    this.#server ??= await startModelServer(Number(new URL(this.url).port), (request) =>
      this.#answer(request),
    );
  }

  #answer({ text, closed }: ModelRequest): ScriptedReply {
    const task = this.#tasks.get(/Task \d+\./.exec(text)?.[0] ?? '');
    if (!task) return { status: 400 };
    const attempt = 1 + Number(/Attempt (\d+) failed/.exec(text)?.[1] ?? 0);
    const asked: Asked = { task, attempt, at: performance.now(), troubled: false };
    this.asked.push(asked);
    void closed.then((how) => {
      if (how === 'by client') asked.troubled = true;
    });
    const trouble = this.#trouble(`${task.name} ${attempt}`);
    asked.troubled = trouble !== undefined;
    const reply = task.replies[Math.min(attempt, task.replies.length) - 1] ?? '';
    return trouble ?? { text: reply, pieceDelay: this.mood === 'slow' ? 60 : undefined, pieceSize: 20 };
  }

  #trouble(attempt: string): ScriptedReply | undefined {
    if (this.mood === 'unavailable') return { status: 503 };
    if (this.mood === 'limited') return { status: 429, headers: { 'retry-after': '1' } };
    let troubles = this.#troubles.get(attempt);
    if (!troubles && this.#random) {
      const random = this.#random.fork(attempt);
      // A reply that breaks off more often than twice is given up.
      const broken = Array.from({ length: random.between(0, 2) }, () => random.pick(BROKEN));
      const refused = Array.from({ length: random.between(0, 3) }, () => random.pick(REFUSED));
      troubles = random.chance(0.3) ? [...broken, ...refused] : [];
      this.#troubles.set(attempt, troubles);
    }
    return troubles?.shift();
  }
}
