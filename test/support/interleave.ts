/**
 * Races, decided by a seed: actors work side by side on the real store, and before each call to it an actor waits for its
 * turn. Which one has it is drawn, when all of them wait. So one seed is one order of the calls.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate as otherWork } from 'node:timers/promises';
import { dynamodb } from '../../functions/service/aws.ts';
import { random } from './random.ts';

interface Turn {
  actor: number;
  take(): void;
}

const current = new AsyncLocalStorage<{ actor: number; waiting: Turn[] }>();

/** Runs the actors to their ends and gives the order in which they had their turns. Throws what one of them throws. */
export async function interleave(seed: number, actors: (() => Promise<unknown>)[]): Promise<number[]> {
  const draw = random(seed);
  const waiting: Turn[] = [];
  const order: number[] = [];
  const name = 'interleave';
  dynamodb.middlewareStack.add(
    (next) => async (args) => {
      const store = current.getStore();
      if (store) await new Promise<void>((take) => store.waiting.push({ actor: store.actor, take }));
      return next(args);
    },
    { step: 'initialize', name, override: true },
  );
  let atWork = actors.length;
  const ended = Promise.all(
    actors.map((act, actor) =>
      current.run({ actor, waiting }, act).finally(() => {
        atWork -= 1;
      }),
    ),
  );
  ended.catch(() => undefined);
  try {
    while (atWork > 0) {
      if (new Set(waiting.map(({ actor }) => actor)).size < atWork) {
        await otherWork();
        continue;
      }
      // They may have come in any order.
      waiting.sort((one, other) => one.actor - other.actor);
      const index = Math.floor(draw() * waiting.length);
      const [turn] = waiting.splice(index, 1);
      if (!turn) throw new Error('Nobody waits.');
      order.push(turn.actor);
      turn.take();
      await otherWork();
    }
  } finally {
    dynamodb.middlewareStack.remove(name);
    for (const { take } of waiting) take();
  }
  await ended;
  return order;
}
