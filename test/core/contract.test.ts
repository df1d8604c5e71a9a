/** The one description of what crosses a sandbox's edge: the file that the sandbox has of it, and what real parts say. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { attemptSchema } from '../../functions/execution/execution.ts';
import { CONTRACT_LIMITS, contract, inputNameSchema } from '../../functions/sandbox/contract.ts';

const file = path.join(import.meta.dirname, '../../sandbox-image/sandbox/contract.json');

test('the file that the sandbox has is what these schemas say (npx vitest run test/core/contract.test.ts -u)', async () => {
  const documents = Object.entries(contract).map(([name, schema]) => [name, z.toJSONSchema(schema)]);
  const text = JSON.stringify({ limits: CONTRACT_LIMITS, documents: Object.fromEntries(documents) }, null, 2);
  await expect(`${text}\n`).toMatchFileSnapshot(file);
});

test('an input has the plain name of a file that the working folder can hold', () => {
  for (const name of [
    '売上 2026.csv',
    '-rf',
    'it\'s "quoted"',
    'Main.py',
    ' ',
    'é'.repeat(127),
    '😀'.repeat(63),
  ]) {
    expect(inputNameSchema.safeParse(name).data, name).toBe(name);
  }
  const refused = [
    '',
    '.',
    '..',
    '.env',
    '../x',
    'a/b',
    'a\\b',
    'main.py',
    'a\nb',
    'x'.repeat(201),
    '表'.repeat(86),
  ];
  for (const name of refused) expect(inputNameSchema.safeParse(name).success, name).toBe(false);
});

test('README and openapi tell the limits of files and output as they are', async () => {
  const { files, fileBytes, totalBytes, name, output } = CONTRACT_LIMITS;
  const readme = await readFile(path.join(import.meta.dirname, '../../README.md'), 'utf8');
  const [said = ''] = /\*\*What a program leaves\*\*.*?\n\n/s.exec(readme) ?? [];
  const mb = (bytes: number) => `${bytes / 2 ** 20}`;
  const sentence = said.replaceAll('\n', ' ');
  expect(sentence).toContain(`up to ${mb(output)} MiB`);
  expect(sentence).toContain(`at most ${files}, of ${mb(fileBytes)} MB each and ${mb(totalBytes)} MB in all`);
  expect(sentence).toContain(`at most ${name} printable`);
  const { description } = attemptSchema.shape.artifacts.meta() ?? {};
  expect(description).toContain(
    `at most ${files}, of ${mb(fileBytes)} MB each and ${mb(totalBytes)} MB in all`,
  );
});
