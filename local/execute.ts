/**
 * npm run execute -- "prompt": one execution from the command line, shown as it goes.
 *
 * Uses the service at --url, else the runtime that listens at HOST:PORT if there is one, else one of its own that ends
 * with it. Exit code: 0 succeeded, 1 failed or cancelled, 2 the command line or the settings are wrong.
 *
 * Who stops it, by Ctrl-C (then it ends with 130), by SIGTERM (143) or by closing its output, as `| head` does (141, in
 * silence), does not want the rest: the execution is cancelled. A second signal ends it without waiting for that.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { ExecutionEvent } from '../functions/events/events.ts';
import { keptAttempts } from '../functions/execution/attempts.ts';
import {
  type ExecuteRequest,
  type Execution,
  executeRequestSchema,
  type ResumeRequest,
  resumeRequestSchema,
} from '../functions/execution/execution.ts';
import { ConfigurationError } from '../functions/service/errors.ts';
import { type Client, createClient, type Health } from '../web/src/api/client.ts';
import { ApiError, Unreachable } from '../web/src/api/errors.ts';
import { loadDotenv } from './dotenv.ts';
import { packagesAdvice, packagesInBrief } from './packages.ts';
import { inJson, inLines } from './printable.ts';
import type { Runtime } from './runtime.ts';
import { CannotWrite, type Destinations, saveResults } from './save-results.ts';
import { readSettings, type Settings } from './settings.ts';
import { Transcript } from './transcript.ts';

const USAGE = `Usage: npm run execute -- "prompt" [options]

  --tests FILE          Python run after the code: assertions, functions named test_*, unittest, pytest
  --max-retries N       attempts in all
  --timeout S           seconds an attempt may run
  --policy P            strict or standard
  --resume ID           instead of a prompt: go on from an execution that the service or its model server failed
  --json                print the execution alone, as JSON (with \`npm run -s\`)
  --save-code FILE      write the code of the last attempt to FILE
  --save-notebook FILE  write the execution to FILE as a Jupyter notebook
  --save-files DIR      write the files that the last attempt left into DIR
  --url URL             a service that runs elsewhere, as a deployed one (or EXECUTOR_URL)
  --api-key KEY         the key that it asks for (or EXECUTOR_API_KEY, which no list of processes shows)
  --help                this text
`;

const OPTIONS = {
  tests: { type: 'string' },
  'max-retries': { type: 'string' },
  timeout: { type: 'string' },
  policy: { type: 'string' },
  resume: { type: 'string' },
  json: { type: 'boolean' },
  'save-code': { type: 'string' },
  'save-notebook': { type: 'string' },
  'save-files': { type: 'string' },
  url: { type: 'string' },
  'api-key': { type: 'string' },
  help: { type: 'boolean' },
} as const;

class UsageError extends Error {
  override readonly name = 'UsageError';
}

interface CommandLine {
  request: ExecuteRequest | ResumeRequest;
  json: boolean;
  save: Destinations;
  /** of the service to use; null: one on this machine */
  url: string | null;
  apiKey: string | undefined;
}

async function readCommandLine(args: string[]): Promise<CommandLine | 'help'> {
  const { values, positionals } = parse(args);
  if (values.help) return 'help';
  if (values.resume === undefined && positionals.length !== 1) {
    throw new UsageError(`One prompt is expected, in quotes; there are ${positionals.length}.`);
  }
  const tests = values.tests === undefined ? undefined : await readTests(values.tests);
  const number = (text: string | undefined) => (text === undefined ? undefined : Number(text));
  const task = {
    prompt: positionals[0],
    tests,
    max_retries: number(values['max-retries']),
    timeout: number(values.timeout),
    policy: values.policy,
  };
  const request =
    values.resume === undefined
      ? executeRequestSchema.safeParse(task)
      : resumeRequestSchema.safeParse({ ...task, resumes: values.resume });
  if (!request.success) {
    const issues = request.error.issues.map(
      ({ path, message }) => `${path.join('.').replace('_', '-')} ${message}`,
    );
    throw new UsageError(`${issues.join('; ')}.`);
  }
  return {
    request: request.data,
    json: values.json ?? false,
    save: { code: values['save-code'], notebook: values['save-notebook'], files: values['save-files'] },
    url: originOf(values.url ?? process.env.EXECUTOR_URL),
    apiKey: values['api-key'] ?? process.env.EXECUTOR_API_KEY,
  };
}

/** null if none is given. @throws UsageError */
function originOf(url: string | undefined): string | null {
  if (!url) return null;
  const { protocol, origin } = URL.canParse(url) ? new URL(url) : { protocol: '', origin: '' };
  if (protocol === 'https:' || protocol === 'http:') return origin;
  throw new UsageError(`url must be an address such as https://executor.example.com, not "${url}".`);
}

function parse(args: string[]) {
  try {
    return parseArgs({ args, allowPositionals: true, options: OPTIONS });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

async function readTests(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new UsageError(`The tests cannot be read: ${(error as Error).message}`);
  }
}

/** An event with the code or the output that was too long for it. */
async function withWholeTexts(client: Client, event: ExecutionEvent): Promise<ExecutionEvent> {
  const isCut =
    (event.type === 'code.completed' && event.code === null) ||
    (event.type === 'attempt.finished' &&
      event.result.output === null &&
      event.result.run_started_at !== null);
  if (!isCut) return event;
  const { results } = await client.execution(event.execution_id);
  const result = results.find(({ attempt }) => attempt === event.attempt);
  if (!result) return event;
  return event.type === 'code.completed' ? { ...event, code: result.code } : { ...event, result };
}

/** Waits for the end, telling each event; gives the execution as it ended. */
async function follow(client: Client, started: Execution, transcript: Transcript | null): Promise<Execution> {
  let after = 0;
  let queued = started.status === 'queued';
  let askAt = 0;
  for (;;) {
    // While it waits for its turn no event comes.
    if (queued && transcript && performance.now() >= askAt) {
      const { status, place_in_line } = await client.execution(started.execution_id);
      queued = status === 'queued';
      if (place_in_line !== null) transcript.inLine(place_in_line);
      askAt = performance.now() + 2_000;
    }
    const events = await client.events(started.execution_id, after);
    for (const event of events) {
      after = event.sequence;
      transcript?.tell(await withWholeTexts(client, event));
      if (event.type === 'execution.finished') return client.execution(started.execution_id);
    }
    if (events.length === 0) await sleep(100);
  }
}

/** The health of the runtime at `origin`; null if none of ours is running there. */
async function probe(origin: string): Promise<Health | null> {
  const client = createClient({ origin });
  const health = await client.health(AbortSignal.timeout(2_000)).catch(() => null);
  return health?.service === 'Recursive AI Executor' ? health : null;
}

/** A runtime of our own, whose code is loaded only where it is needed. */
async function startOwn(settings: Settings): Promise<Runtime> {
  const { startRuntime } = await import('./runtime.ts');
  return startRuntime({ ...settings, port: 0, warmSandboxes: 0 });
}

/** How the command was stopped before its end, and how to cancel what is under way then. */
const interruption: { exitCode: number | null; cancel: (() => Promise<unknown>) | null } = {
  exitCode: null,
  cancel: null,
};

function interrupt(exitCode: number): void {
  const isSecond = interruption.exitCode !== null;
  interruption.exitCode ??= exitCode;
  process.exitCode = interruption.exitCode;
  if (isSecond || !interruption.cancel) process.exit();
  // One that has ended meanwhile is told as the end anyway.
  interruption.cancel().catch(() => process.exit());
}

async function main(args: string[]): Promise<number> {
  loadDotenv();
  const commandLine = await readCommandLine(args);
  if (commandLine === 'help') {
    process.stdout.write(USAGE);
    return 0;
  }
  const { request, json, save, apiKey } = commandLine;
  const settings = commandLine.url ? null : readSettings();
  const transcript = json ? null : new Transcript();
  const address = commandLine.url ?? `http://${settings?.host}:${settings?.port}`;
  const isThere = settings === null || (await probe(address)) !== null;
  const own = isThere ? null : await startOwn(settings);
  try {
    const client = createClient({
      origin: own?.url ?? address,
      credentials: (): Record<string, string> => (apiKey ? { 'x-api-key': apiKey } : {}),
    });
    const health = await client.health();
    if (health.model.demo) {
      transcript?.line(
        'The demo model answers: it replays three scenarios. Set OPENAI_API_KEY for a real one.',
      );
    }
    const { python, packages } = health.sandbox;
    const versions = Object.fromEntries(packages.map(({ name, version }) => [name, version]));
    const advice = settings && (await packagesAdvice(versions, settings));
    transcript?.line(`Python ${python}, ${packagesInBrief(versions)}${advice ? `; ${advice}` : ''}.`);
    const started = await client.execute(request);
    interruption.cancel = () => client.cancel(started.execution_id);
    const ended = await follow(client, started, transcript);
    interruption.cancel = null;
    transcript?.end();
    if (json) process.stdout.write(`${inJson(JSON.stringify(ended, null, 2))}\n`);
    for (const sentence of await saveResults(client, ended, save)) process.stderr.write(`${sentence}\n`);
    const attempts = `${ended.attempts} attempt${ended.attempts === 1 ? '' : 's'}`;
    transcript?.line();
    transcript?.line(`▸ ${ended.status} after ${attempts} in ${ended.total_time?.toFixed(1)} s`);
    const kept = keptAttempts(ended, ended.results).length;
    if (kept > 0) {
      transcript?.line(`▸ to go on from attempt ${kept + 1}:`);
      transcript?.command(goingOn(args, ended));
    }
    if (
      !ended.resumes &&
      ended.policy === 'strict' &&
      ended.status === 'failed' &&
      ended.final_result?.standard_permits
    ) {
      transcript?.line('▸ only the policy strict refused the last program; to run it under standard:');
      transcript?.command(underStandard(args));
    }
    return interruption.exitCode ?? (ended.success ? 0 : 1);
  } catch (error) {
    if (error instanceof Unreachable) error.message = `The service at ${address} does not answer (any more).`;
    throw error;
  } finally {
    await own?.close();
  }
}

/** The command that runs the same again under the policy `standard`, to be pasted into a shell. */
const underStandard = (args: string[]) =>
  ['npm run execute --', ...wordsOf(args, (name) => name !== 'policy'), '--policy standard'].join(' ');

/** The command that goes on from an execution. */
const goingOn = (args: string[], { execution_id }: Execution) =>
  [
    'npm run execute --',
    `--resume ${execution_id}`,
    ...wordsOf(args, (name) => ['url', 'api-key'].includes(name)),
  ].join(' ');

/** The prompt and the options that are wanted, each as a word for a shell. */
function wordsOf(args: string[], isWanted: (name: string) => boolean): string[] {
  const { tokens } = parseArgs({ args, allowPositionals: true, options: OPTIONS, tokens: true });
  const words = tokens.flatMap((token) => {
    if (token.kind === 'positional') return isWanted('prompt') ? token.value : [];
    if (token.kind !== 'option' || !isWanted(token.name)) return [];
    return token.value === undefined ? token.rawName : [token.rawName, token.value];
  });
  return words.map(quoted);
}

/** A word for a POSIX shell. */
const quoted = (word: string) =>
  /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

process.on('SIGINT', () => interrupt(130));
process.on('SIGTERM', () => interrupt(143));
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  // Each write after the first that fails comes here too.
  if (interruption.exitCode === null) interrupt(141);
});
// Nobody is left to be told.
process.stderr.on('error', () => {});

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const isUsage = error instanceof UsageError;
  const isOfService = error instanceof ApiError || error instanceof Unreachable;
  const isOfSettings = error instanceof ConfigurationError || error instanceof CannotWrite;
  if (!isUsage && !isOfService && !isOfSettings) throw error;
  process.stderr.write(`${inLines(error.message)}\n${isUsage ? `\n${USAGE}` : ''}`);
  process.exitCode = isOfService ? 1 : 2;
}
// A function of a runtime of our own that is still under way, with nobody left to work for, is not waited for.
process.stdout.write('', () => process.exit());
