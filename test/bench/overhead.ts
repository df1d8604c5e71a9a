/** All that a two-attempt execution costs beside its own work: against the same work done by hand. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import OpenAI from 'openai';
import { findPython } from '../../local/python.ts';
import { python } from '../support/model-server.ts';
import type { Product } from '../support/product.ts';
import { listWarmSandboxes } from '../support/store.ts';
import { medians, ms, report } from './measure.ts';

const ROUNDS = 10;
const FAILS = 'numbers = []\nprint(sum(numbers) / len(numbers))';
const WORKS = 'numbers = [1, 2, 3]\nprint(sum(numbers) / len(numbers))';

export async function benchOverhead(product: Product): Promise<void> {
  const command = await findPython();
  const folder = mkdtempSync(path.join(tmpdir(), 'bench-'));
  const script = path.join(folder, 'script.py');
  const openai = new OpenAI({ baseURL: product.model.url, apiKey: 'bench' });
  const ask = async () => {
    const stream = await openai.chat.completions.create({
      model: 'bench',
      messages: [{ role: 'user', content: 'by hand' }],
      stream: true,
    });
    for await (const _ of stream);
  };
  const executeIt = async () => {
    product.model.replyTo('overhead', python(FAILS), python(WORKS));
    const execution = await product.run({ prompt: 'overhead' });
    if (execution.attempts !== 2 || !execution.success)
      throw new Error(`not as scripted: ${execution.error}`);
  };
  const doItByHand = async () => {
    for (const code of [FAILS, WORKS]) {
      product.model.replyTo('by hand', python(code));
      await ask();
      writeFileSync(script, code);
      // The first one fails, as it should.
      await promisify(execFile)(command, [script]).catch(() => undefined);
    }
  };
  const works = { executed: executeIt, byHand: doItByHand };
  const { executed, byHand } = await medians(ROUNDS, works, warmSandboxReady);
  rmSync(folder, { recursive: true });
  const rest = executed - byHand;
  report(
    'all the rest of a two-attempt execution takes at most 150 ms',
    `${ms(rest)} (${ms(executed)} in all, warm sandbox, against ${ms(byHand)} by hand)`,
    rest <= 150,
  );
}

/** The one that the round before took has been replaced, and its start disturbs no more. */
async function warmSandboxReady(): Promise<void> {
  while (!(await listWarmSandboxes()).some(({ status }) => status === 'ready')) await sleep(50);
  await sleep(500);
}
