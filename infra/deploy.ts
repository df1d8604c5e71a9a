/** `npm run deploy -- dev` builds the page and deploys an environment; `npm run destroy -- dev` removes it. */
import { spawnSync } from 'node:child_process';
import { root } from './bundle.ts';
import { environments } from './environments.ts';

const names = environments.map(({ name }) => name as string);
const [action, name = ''] = process.argv.slice(2);
if ((action !== 'deploy' && action !== 'destroy') || !names.includes(name)) {
  console.error(`Say which environment: npm run ${action ?? 'deploy'} -- ${names.join('|')}`);
  process.exit(2);
}

run('vite', ['build', 'web']);
// Both the service and, where there is one, its firewall in us-east-1.
run(
  'cdk',
  action === 'deploy'
    ? ['deploy', `${name}/*`, '--require-approval', 'broadening']
    : ['destroy', `${name}/*`],
);

function run(command: string, args: string[]): void {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}
