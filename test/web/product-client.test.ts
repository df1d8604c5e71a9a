/** The page's client against the real local runtime. */
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { createClient } from '../../web/src/api/client.ts';
import { ApiError, Unreachable } from '../../web/src/api/errors.ts';
import { type Connection, followExecution } from '../../web/src/api/follow.ts';
import type { ExecutionState } from '../../web/src/execution/reduce.ts';
import { python } from '../support/model-server.ts';
import { type Product, startProduct } from '../support/product.ts';

let product: Product;
let client: ReturnType<typeof createClient>;

beforeAll(async () => {
  // What a browser has and Node may not have.
  vi.stubGlobal('WebSocket', WebSocket);
  vi.stubGlobal('addEventListener', () => undefined);
  vi.stubGlobal('removeEventListener', () => undefined);
  product = await startProduct();
  client = createClient({ origin: product.url });
});
afterAll(async () => {
  await product.close();
  vi.unstubAllGlobals();
});

let stop = () => {};
afterEach(() => stop());

/** Follows to the end; `onState` hears of each state. */
function follow(
  id: string,
  onState: (state: ExecutionState) => void = () => {},
): Promise<{ states: ExecutionState[]; connections: Connection[] }> {
  const states: ExecutionState[] = [];
  const connections: Connection[] = [];
  return new Promise((resolve, reject) => {
    stop = followExecution(client, id, {
      onState: (state) => {
        states.push(state);
        onState(state);
      },
      onConnection: (connection) => {
        connections.push(connection);
        if (connection === 'ended') resolve({ states, connections });
      },
      onError: reject,
    });
  });
}

describe('the client', () => {
  test('follows an execution live to the state that the API tells', async () => {
    // The model does not write before the page has seen that it is asked.
    let write = () => {};
    const gate = new Promise<void>((resolve) => {
      write = resolve;
    });
    product.model.reply(
      { text: python('print(1 / 0)'), gate },
      python('import time\ntime.sleep(0.6)\nprint("done")'),
    );
    const { execution_id } = await client.execute({ prompt: 'Divide' });
    const { states, connections } = await follow(execution_id, ({ results }) => {
      if (results[0]?.status === 'generating') write();
    });
    expect(connections).toEqual(['connecting', 'live', 'ended']);
    const statuses = states.map(({ results }) => results.map(({ status }) => status).join());
    expect(statuses).toEqual(expect.arrayContaining(['generating', 'failed', 'failed,running']));
    const told = await client.execution(execution_id);
    const { isolation, results, ...last } = states.at(-1) as ExecutionState;
    expect(told).toMatchObject(last);
    expect(results.map(({ run, chunks, ...attempt }) => attempt)).toEqual(told.results);
    expect(isolation).toMatchObject({ rlimits: expect.any(String) });
  });

  test('reads texts too long for a message', async () => {
    const program = `# ${'long '.repeat(5_000)}\nprint("x" * 100_000)`;
    product.model.reply({ text: python(program), pieceSize: 10_000 });
    const { execution_id } = await client.execute({ prompt: 'Be long' });
    const { states } = await follow(execution_id);
    const [attempt] = states.at(-1)?.results ?? [];
    expect(attempt?.code).toBe(program);
    expect(attempt?.output).toBe(`${'x'.repeat(100_000)}\n`);
  });

  test('cancels, pages through the history and reads health', async () => {
    product.model.reply(python('while True: pass'));
    const { execution_id } = await client.execute({ prompt: 'Never end' });
    const followed = follow(execution_id);
    expect(await client.cancel(execution_id)).toMatchObject({ status: 'cancelled' });
    expect((await followed).states.at(-1)).toMatchObject({ status: 'cancelled' });
    const history = await client.executions(null);
    expect(history.executions[0]).toMatchObject({ execution_id, status: 'cancelled' });
    expect(history.next_cursor).toBeNull();
    expect(await client.health()).toMatchObject({ model: { name: 'test-model', demo: false } });
  });

  test('reads events for those who poll', async () => {
    product.model.reply(python('print("polled")'));
    const { execution_id } = await product.run({ prompt: 'Be polled' });
    const events = await client.events(execution_id, 1);
    expect(events[0]?.sequence).toBe(2);
    expect(events.at(-1)?.type).toBe('execution.finished');
  });

  test.each(['a b.txt', '10% + 5.txt', 'what?.txt', 'für/100%25?.txt', `\${filename} it's.txt`])(
    'reads the artifact %j',
    async (name) => {
      const code = `import os\nos.makedirs("für")\nopen(${JSON.stringify(name)}, "w").write("content")`;
      product.model.reply(python(code));
      const { execution_id } = await product.run({ prompt: 'Leave a file', policy: 'standard' });
      const content = await client.artifact(execution_id, 1, name);
      expect(await content.text()).toBe('content');
    },
  );

  test('tells the service’s errors in its words', async () => {
    const problem = client.execution('nothing-here');
    await expect(problem).rejects.toBeInstanceOf(ApiError);
    await expect(problem).rejects.toMatchObject({
      status: 404,
      message: expect.stringContaining('nothing-here'),
    });
    const nowhere = createClient({ origin: 'http://127.0.0.1:9' });
    await expect(nowhere.execute({ prompt: 'x' })).rejects.toBeInstanceOf(Unreachable);
  });
});
