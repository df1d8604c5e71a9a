/** The one description of what crosses a sandbox's edge: the file that the sandbox has of it, and what real parts say. */
import path from 'node:path';
import { expect, test } from 'vitest';
import * as z from 'zod';
import { CONTRACT_LIMITS, contract } from '../../functions/core/contract.ts';

const file = path.join(import.meta.dirname, '../../sandbox-image/sandbox/contract.json');

test('the file that the sandbox has is what these schemas say (npx vitest run test/core/contract.test.ts -u)', async () => {
  const documents = Object.entries(contract).map(([name, schema]) => [name, z.toJSONSchema(schema)]);
  const text = JSON.stringify({ limits: CONTRACT_LIMITS, documents: Object.fromEntries(documents) }, null, 2);
  await expect(`${text}\n`).toMatchFileSnapshot(file);
});
