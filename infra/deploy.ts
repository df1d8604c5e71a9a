/**
 * Deploys an environment and removes it.
 *
 *   npm run deploy -- dev               looks whether it can succeed, builds, deploys, tries it out
 *     --yes                             without asking, as in CI
 *     --diff                            only shows what would change
 *     --no-smoke                        without trying it out
 *     --model-key-stdin                 the model's key comes on standard input and is put in after the deployment
 *   npm run destroy -- dev              when the name is typed, or given by --confirm dev
 *
 * ECS does not delete a cluster in which tasks run, and until the stack has taken the upkeep away the warm pool is
 * filled again: so while the stack is deleted its sandboxes are stopped, again and again.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline/promises';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { PutSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import './quiet-sdk.ts';
import './region.ts';
import { root } from './bundle.ts';
import { checkEnvironment, type Environment, environments } from './environments.ts';
import { type Finding, findTarget, preflight } from './preflight.ts';
import { clusterName, stopTasks } from './sandbox-tasks.ts';
import { stackOutputs } from './stack-outputs.ts';

/** Milliseconds between two looks for sandboxes that run. */
const STOP_INTERVAL = 5_000;

const names = environments.map(({ name }) => name as string).join('|');
const USAGE = {
  deploy: `npm run deploy -- ${names} [--yes] [--diff] [--no-smoke] [--model-key-stdin]`,
  destroy: `npm run destroy -- ${names} [--confirm NAME]`,
};

/** What was asked for cannot be done as it was put; `exitCode` is 2 for a wrong command, 1 for a state that forbids it. */
class Refused extends Error {
  constructor(
    message: string,
    readonly exitCode = 1,
  ) {
    super(message);
  }
}

async function deploy({ environment, options }: Command<'deploy'>): Promise<void> {
  checkEnvironment(environment);
  const { name } = environment;
  if (options.diff) {
    const target = await findTarget();
    if ('level' in target) report([target]);
    await run('vite', ['build', 'web']);
    return run('cdk', ['diff', `${name}/*`]);
  }
  const modelKey = options['model-key-stdin'] ? await readModelKey() : undefined;
  if (!options.yes && !process.stdin.isTTY) {
    throw new Refused('There is no terminal to ask in: --yes deploys without asking.', 2);
  }
  report(await preflight(environment));
  await run('vite', ['build', 'web']);
  // Both the service and, where there is one, its firewall in us-east-1.
  await run('cdk', ['deploy', `${name}/*`, '--require-approval', options.yes ? 'never' : 'broadening']);
  if (modelKey) {
    const { ModelKeySecret } = await stackOutputs(name);
    await new SecretsManagerClient().send(
      new PutSecretValueCommand({ SecretId: ModelKeySecret, SecretString: modelKey }),
    );
    console.log('The model key is put in.');
  }
  if (!options['no-smoke']) await run('tsx', ['infra/smoke.ts', name]);
}

/** Says what was found. @throws Refused if something of it is an error. */
function report(findings: Finding[]): void {
  for (const { level, sentence } of findings) {
    console.error(level === 'error' ? `✗ ${sentence}` : `! ${sentence}`);
  }
  if (findings.some(({ level }) => level === 'error')) throw new Refused('Nothing was deployed.');
}

async function readModelKey(): Promise<string> {
  if (process.stdin.isTTY)
    throw new Refused('--model-key-stdin reads a pipe or a file: … --model-key-stdin < key.txt', 2);
  const key = (await text(process.stdin)).trim();
  if (!/^[\x21-\x7e]+$/.test(key)) {
    throw new Refused('What came on standard input is no key: it must be one line without spaces.', 2);
  }
  return key;
}

async function destroy({ environment: { name }, options }: Command<'destroy'>): Promise<void> {
  if (!(await isConfirmed(name, options.confirm))) {
    throw new Refused(`${name} was not removed: type its name, or give it by --confirm.`);
  }
  await run('vite', ['build', 'web']);
  const stopping = setInterval(() => {
    stopTasks(clusterName(name)).catch((error: Error) => console.error(`Sandboxes: ${error.message}`));
  }, STOP_INTERVAL);
  await run('cdk', ['destroy', `${name}/*`, '--force']).finally(() => clearInterval(stopping));
}

async function isConfirmed(name: string, confirmed: string | undefined): Promise<boolean> {
  if (confirmed !== undefined) return confirmed === name;
  if (!process.stdin.isTTY) return false;
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const typed = await terminal.question(`This removes ${name} and stops what runs in it. Type its name: `);
  terminal.close();
  return typed.trim() === name;
}

/** @throws Refused, without words of its own, if the command ends badly. */
async function run(command: string, args: string[]): Promise<void> {
  const child = spawn(command, args, { cwd: root, stdio: 'inherit' });
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (status !== 0) throw new Refused('', status ?? 1);
}

const OPTIONS = {
  deploy: {
    yes: { type: 'boolean' },
    diff: { type: 'boolean' },
    'no-smoke': { type: 'boolean' },
    'model-key-stdin': { type: 'boolean' },
  },
  destroy: { confirm: { type: 'string' } },
} as const;
type Action = keyof typeof OPTIONS;

interface Command<A extends Action> {
  environment: Environment;
  options: ReturnType<typeof parseArgs<{ options: (typeof OPTIONS)[A] }>>['values'];
}

/** @throws Refused if that is no command. */
function parse<A extends Action>(action: A, args: string[]): Command<A> {
  try {
    const options = OPTIONS[action];
    const { values, positionals } = parseArgs({ args, allowPositionals: true, options });
    const environment = environments.find(({ name }) => name === positionals[0]);
    if (environment && positionals.length === 1) {
      return { environment, options: values as Command<A>['options'] };
    }
  } catch (error) {
    throw new Refused(`${(error as Error).message}\n${USAGE[action]}`, 2);
  }
  throw new Refused(`Say which environment: ${USAGE[action]}`, 2);
}

const [action, ...args] = process.argv.slice(2);
try {
  if (action === 'destroy') await destroy(parse('destroy', args));
  else await deploy(parse('deploy', args));
} catch (error) {
  const { message } = error as Error;
  if (message) console.error(message);
  process.exitCode = error instanceof Refused ? error.exitCode : 1;
}
