/**
 * What an invocation need not wait for while it works, but must have done before it answers: a function that has
 * answered is frozen.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

const current = new AsyncLocalStorage<{ tail: Promise<void> }>();

/** Runs an invocation, and then what it left to be done `afterwards`. */
export async function invocation<T>(work: () => Promise<T>): Promise<T> {
  const queue = { tail: Promise.resolve() };
  try {
    return await current.run(queue, work);
  } finally {
    await queue.tail;
  }
}

/** Does `work`, which must not reject, beside the invocation: after what it left before. Outside of one, at once. */
export async function afterwards(work: () => Promise<void>): Promise<void> {
  const queue = current.getStore();
  if (!queue) return work();
  queue.tail = queue.tail.then(work);
}
