/** Parts of a sandbox are killed or stopped while a program runs in it: that is no fault of the program. */
import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ExecutionEvent } from '../../functions/events/events.ts';
import { python } from '../support/model-server.ts';
import { descendants } from '../support/processes.ts';
import { type Product, startProduct } from '../support/product.ts';

let product: Product;
beforeAll(async () => {
  product = await startProduct();
});
afterAll(() => product.close());

/** The processes that this one's sandboxes consist of. */
function processes() {
  const all = descendants(process.pid);
  const named = (name: string) => all.filter((one) => one.name === name).map(({ pid }) => pid);
  return {
    supervisors: named('sandbox'),
    zygotes: named('sandbox-zygote'),
    templates: named('sandbox-nursery'),
  };
}

const signal = async (pids: number[], name: NodeJS.Signals) => {
  expect(pids.length).toBeGreaterThan(0);
  for (const pid of pids) process.kill(pid, name);
};

const WAITS = python('import time\nprint("begun", flush=True)\ntime.sleep(1.5)\nprint("done")');
/** The folders that sandboxes have now: where programs write. */
const folders = () => readdir(path.join(product.dataDir, 'sandboxes')).catch(() => []);
const begun = (run: number) => (event: ExecutionEvent) => event.type === 'run.output' && event.run === run;

test.each(['zygotes', 'supervisors'] as const)(
  'SIGKILL of its %s: the same program is run in another sandbox, and no attempt is used up',
  async (part) => {
    const prompt = `Kill its ${part}`;
    product.model.replyTo(prompt, WAITS);
    const execution = await product.start({ prompt, max_retries: 1 });
    const follower = product.follow(execution);
    await follower.seen(begun(1));
    const [folder = ''] = await folders();
    await signal(processes()[part], 'SIGKILL');
    await follower.seen(begun(2));
    expect(await folders()).not.toContain(folder);
    await signal(processes()[part], 'SIGKILL');
    await follower.ended;
    follower.close();
    const ended = await product.get(execution.execution_id);
    expect(ended).toMatchObject({
      status: 'succeeded',
      attempts: 1,
      final_result: { output: 'begun\ndone\n' },
    });
    await expect.poll(folders).toEqual([]);
  },
);

test('SIGKILL of the template that they are forked from: programs run on, and the next have sandboxes too', async () => {
  product.model.replyTo('Kill the template', WAITS);
  product.model.replyTo('After the template', python('print("after")'));
  const execution = await product.start({ prompt: 'Kill the template', max_retries: 1 });
  const follower = product.follow(execution);
  await follower.seen(begun(1));
  await signal(processes().templates, 'SIGKILL');
  const after = await product.run({ prompt: 'After the template', max_retries: 1 });
  await follower.ended;
  follower.close();
  const ended = await product.get(execution.execution_id);
  expect([ended, after]).toMatchObject([
    { success: true, attempts: 1, final_result: { output: 'begun\ndone\n' } },
    { success: true, attempts: 1, final_result: { output: 'after\n' } },
  ]);
  expect(follower.events.filter(({ type }) => type === 'run.started')).toHaveLength(1);
});

test('a program that is in a sandbox each time that one dies has failed, and the model may write another', async () => {
  product.model.replyTo('Deadly', WAITS, python('print("harmless")'));
  const execution = await product.start({ prompt: 'Deadly', max_retries: 2 });
  const follower = product.follow(execution);
  for (const run of [1, 2, 3]) {
    await follower.seen(begun(run));
    await signal(processes().supervisors, 'SIGKILL');
  }
  await follower.ended;
  follower.close();
  const ended = await product.get(execution.execution_id);
  expect(ended).toMatchObject({ status: 'succeeded', attempts: 2 });
  expect(ended.results[0]).toMatchObject({
    error_category: 'exception',
    error: 'Killed: 3 sandboxes died while they ran this program. Use less memory and fewer resources.',
  });
});

test('a supervisor that is stopped for longer than the time limit is no time-out of the program', async () => {
  product.model.replyTo('Stopped', WAITS);
  const execution = await product.start({ prompt: 'Stopped', timeout: 3, max_retries: 1 });
  const follower = product.follow(execution);
  await follower.seen(begun(1));
  const { supervisors } = processes();
  await signal(supervisors, 'SIGSTOP');
  await promisify(execFile)('sleep', ['4']);
  await signal(supervisors, 'SIGCONT');
  await follower.ended;
  follower.close();
  expect(await product.get(execution.execution_id)).toMatchObject({ status: 'succeeded', attempts: 1 });
});
