/** The commands that speak to AWS say nothing of the Node that they run on. */
import { execFile } from 'node:child_process';
import { expect, test } from 'vitest';

const AWS = {
  AWS_ENDPOINT_URL: 'http://127.0.0.1:1',
  AWS_REGION: 'us-east-1',
  AWS_ACCESS_KEY_ID: 'x',
  AWS_SECRET_ACCESS_KEY: 'x',
  AWS_MAX_ATTEMPTS: '1',
};

test.each([
  ['infra/keys.ts', 'list', '--table', 'none'],
  ['infra/smoke.ts', 'dev'],
  ['infra/deploy.ts', 'destroy', 'dev', '--yes'],
])('%s', async (...args) => {
  const { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: _, ...env } = process.env;
  const said = await new Promise<string>((resolve) => {
    const options = { env: { ...env, ...AWS } };
    execFile(process.execPath, ['--import', 'tsx', ...args], options, (_error, stdout, stderr) =>
      resolve(stdout + stderr),
    );
  });
  expect(said).not.toBe('');
  expect(said).not.toContain('NodeVersionSupportWarning');
});
