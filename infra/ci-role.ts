/**
 * `npm run ci-role -- --repo owner/name`: makes the roles by which .github/workflows/deploy.yml deploys, in the account
 * and region of the AWS CLI. `--provider-exists` where the account trusts GitHub's tokens already; `--yes` without asking.
 */
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { root } from './bundle.ts';

const USAGE = 'npm run ci-role -- --repo OWNER/NAME [--provider-exists] [--yes]';
/** What GitHub allows, and no pattern: it becomes part of whom the roles trust. */
const REPOSITORY = /^[A-Za-z0-9-]+\/[A-Za-z0-9._-]+$/;

function main(): number {
  const options = {
    repo: { type: 'string' },
    'provider-exists': { type: 'boolean' },
    yes: { type: 'boolean' },
  } as const;
  const { repo = '', yes, 'provider-exists': exists } = parseArgs({ options }).values;
  if (!REPOSITORY.test(repo))
    throw new Error(`--repo must be a GitHub repository as OWNER/NAME, not "${repo}".`);
  const context = ['-c', `repository=${repo}`, ...(exists ? ['-c', 'provider-exists=true'] : [])];
  const args = ['deploy', '--app', 'tsx infra/ci-app.ts', '--output', 'cdk.out/ci', ...context];
  const approval = ['--require-approval', yes ? 'never' : 'broadening'];
  const { status, error } = spawnSync('cdk', [...args, ...approval], { cwd: root, stdio: 'inherit' });
  if (error) throw error;
  return status ?? 1;
}

try {
  process.exitCode = main();
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n${USAGE}\n`);
  process.exitCode = 2;
}
