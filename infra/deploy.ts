/**
 * `npm run deploy -- dev` builds the page and deploys an environment; `npm run destroy -- dev` removes it, when its name
 * is typed or given by `--confirm dev`.
 *
 * ECS does not delete a cluster in which tasks run, and until the stack has taken the upkeep away the warm pool is
 * filled again: so while the stack is deleted its sandboxes are stopped, again and again.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline/promises';
import { root } from './bundle.ts';
import { environments } from './environments.ts';
import { clusterName, stopTasks } from './sandbox-tasks.ts';

/** Milliseconds between two looks for sandboxes that run. */
const STOP_INTERVAL = 5_000;

const names = environments.map(({ name }) => name as string);
const [action, name = '', ...options] = process.argv.slice(2);
if ((action !== 'deploy' && action !== 'destroy') || !names.includes(name)) {
  console.error(`Say which environment: npm run ${action ?? 'deploy'} -- ${names.join('|')}`);
  process.exit(2);
}

if (action === 'destroy' && !(await isConfirmed())) {
  console.error(`${name} was not removed: type its name, or give it by --confirm.`);
  process.exit(1);
}
await run('vite', ['build', 'web']);
// Both the service and, where there is one, its firewall in us-east-1.
if (action === 'deploy') await run('cdk', ['deploy', `${name}/*`, '--require-approval', 'broadening']);
else {
  const stopping = setInterval(() => {
    stopTasks(clusterName(name)).catch((error: Error) => console.error(`Sandboxes: ${error.message}`));
  }, STOP_INTERVAL);
  await run('cdk', ['destroy', `${name}/*`, '--force']).finally(() => clearInterval(stopping));
}

async function isConfirmed(): Promise<boolean> {
  if (options[0] === '--confirm') return options[1] === name;
  if (!process.stdin.isTTY) return false;
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const typed = await terminal.question(`This removes ${name} and stops what runs in it. Type its name: `);
  terminal.close();
  return typed.trim() === name;
}

/** Ends this process as the command ended, if that was badly. */
async function run(command: string, args: string[]): Promise<void> {
  const child = spawn(command, args, { cwd: root, stdio: 'inherit' });
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (status !== 0) process.exit(status ?? 1);
}
