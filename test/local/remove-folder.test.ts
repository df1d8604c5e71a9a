/** What sandboxes leave when they are killed is removed, whatever programs have made of it. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { removeFolder } from '../../local/launchers/remove-folder.ts';
import { temporaryFolder } from './support.ts';

test.each<[what: string, fill: (folder: string) => void]>([
  ['nothing', () => {}],
  ['files and folders', (folder) => fs.cpSync('test/local', path.join(folder, 'copy'), { recursive: true })],
  [
    'folders that nobody may change or look into',
    (folder) => {
      fs.mkdirSync(path.join(folder, 'a/b'), { recursive: true });
      fs.writeFileSync(path.join(folder, 'a/b/file'), '');
      fs.chmodSync(path.join(folder, 'a/b'), 0o500);
      fs.chmodSync(path.join(folder, 'a'), 0);
    },
  ],
  [
    'folders in folders beyond the length of any path',
    (folder) => {
      const name = 'x'.repeat(250);
      const script = `cd "${folder}"; for i in $(seq 40); do mkdir ${name}; cd -P ${name}; done`;
      execFileSync('bash', ['-c', script]);
    },
  ],
  ['a link to elsewhere', (folder) => fs.symlinkSync('/', path.join(folder, 'link'))],
])('%s', async (_, fill) => {
  const folder = path.join(temporaryFolder(), 'sandbox');
  fs.mkdirSync(folder);
  fill(folder);
  await removeFolder(folder);
  expect(fs.existsSync(folder)).toBe(false);
  await removeFolder(folder);
});
