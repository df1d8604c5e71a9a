/**
 * `npm run smoke -- dev`: one execution with a plot in a deployed environment, by a key that is made for it and revoked
 * after. Says which layers of isolation are in force. It costs a call of the model, or a few, and a sandbox for a
 * minute. An environment without a model key is told to have none, which is no failure.
 *
 * Where callers are known by tokens (`auth` is `jwt`), EXECUTOR_TOKEN must hold one.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import './quiet-sdk.ts';
import './region.ts';
import { parseArgs } from 'node:util';
import { setKeyRevoked } from '../functions/callers/key-records.ts';
import { makeKey } from '../functions/callers/keys.ts';
import type { Execution } from '../functions/execution/execution.ts';
import { isFinal } from '../functions/execution/execution.ts';
import { type Client, createClient } from '../web/src/api/client.ts';
import { environments } from './environments.ts';
import { stackOutputs } from './stack-outputs.ts';

const PROMPT =
  'Plot the parabola y = x² for x from -5 to 5 with matplotlib, save the figure as parabola.png and print "smoke test passed".';
/** Milliseconds: a cold sandbox takes a minute at worst, a model as long. */
const PATIENCE = 300_000;
const LOOK_EVERY = 2_000;
const PNG = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');

const say = (line: string) => void process.stdout.write(`${line}\n`);

async function smoke(environment: (typeof environments)[number]): Promise<void> {
  const { Url, TableName } = await stackOutputs(environment.name);
  const health = await createClient({ origin: Url }).health();
  if (health.model.problem) {
    say(`${Url} answers. Nothing was run: ${health.model.problem}`);
    return;
  }
  if (environment.auth.type === 'jwt') {
    const token = process.env.EXECUTOR_TOKEN;
    if (!token)
      throw new Error('Set EXECUTOR_TOKEN to a token of the issuer: callers are known by one here.');
    return tryOut(Url, { authorization: `Bearer ${token}` });
  }
  process.env.TABLE_NAME = TableName;
  const { key, record } = await makeKey('smoke-test', new Date().toISOString());
  try {
    await tryOut(Url, { 'x-api-key': key });
  } finally {
    await setKeyRevoked(record.key_id);
  }
}

async function tryOut(url: string, credentials: Record<string, string>): Promise<void> {
  const client = createClient({ origin: url, credentials: () => credentials });
  const execution = await runToEnd(client);
  const [plot] = execution.final_result?.artifacts ?? [];
  if (execution.status !== 'succeeded') {
    throw new Error(`The execution ${execution.execution_id} ${execution.status}: ${execution.error}`);
  }
  if (!plot) throw new Error(`The execution ${execution.execution_id} left no plot.`);
  const file = await client.artifact(execution.execution_id, execution.attempts, plot.name);
  const picture = Buffer.from(await file.arrayBuffer());
  if (!picture.subarray(0, PNG.length).equals(PNG))
    throw new Error(`${plot.name} came back as something else.`);

  const { isolation } = await client.health();
  const layers = Object.entries(isolation ?? {}).map(([layer, state]) => `${layer} ${state}`);
  const attempts = execution.attempts === 1 ? 'one attempt' : `${execution.attempts} attempts`;
  say(`${url} works: ${execution.total_time} s, ${attempts}, and a plot of ${picture.length} bytes.`);
  say(`Isolation in force: ${layers.join(', ')}.`);
}

async function runToEnd(client: Client): Promise<Execution> {
  let execution = await client.execute({ prompt: PROMPT });
  const deadline = Date.now() + PATIENCE;
  while (!isFinal(execution.status)) {
    if (Date.now() > deadline) throw new Error(`${execution.execution_id} has not ended after five minutes.`);
    await sleep(LOOK_EVERY);
    execution = await client.execution(execution.execution_id);
  }
  return execution;
}

const names = environments.map(({ name }) => name);

try {
  const { positionals } = parseArgs({ allowPositionals: true });
  const environment = environments.find(({ name }) => name === positionals[0]);
  if (!environment || positionals.length > 1) {
    process.stderr.write(`Say which environment: npm run smoke -- ${names.join('|')}\n`);
    process.exitCode = 2;
  } else await smoke(environment);
} catch (error) {
  process.stderr.write(`The smoke test failed: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
