/**
 * Reads the tests of a request with the Python that will run them, by the function CheckCode, so that tests that cannot
 * be run cost no model call.
 */
import { InvokeCommand } from '@aws-sdk/client-lambda';
import { z } from 'zod';
import { lambda } from '../service/aws.ts';
import { config } from '../service/config.ts';
import { Problem } from '../service/errors.ts';
import { logger } from '../service/logger.ts';

/** What CheckCode says of tests; see sandbox-image/policy/check_code.py. */
const verdictSchema = z.object({
  allowed: z.boolean(),
  error: z.string().nullable(),
  error_line: z.number().nullable(),
  imports_pytest: z.boolean().default(false),
});

/** @throws Problem 400 with line and reason if Python cannot read the tests or nothing in them is run; 503 if unknown. */
export async function checkTests(tests: string): Promise<void> {
  const { allowed, error, error_line, imports_pytest } = await readTests(tests);
  if (!allowed) throw refusal(error_line === null ? `${error}` : `line ${error_line}: ${error}`);
  const packages = config.sandboxPackages.map(({ name }) => name);
  if (imports_pytest && packages.length > 0 && !packages.includes('pytest')) {
    throw refusal(
      'they import pytest, which the sandbox does not have; use plain assertions, functions named test_* or unittest',
    );
  }
}

function refusal(detail: string): Problem {
  return new Problem(400, 'invalid-request', 'Invalid request', `The tests cannot be run: ${detail}.`, [
    { pointer: '/tests', detail },
  ]);
}

async function readTests(tests: string): Promise<z.infer<typeof verdictSchema>> {
  try {
    const answer = await lambda.send(
      new InvokeCommand({ FunctionName: config.checkCodeFunction, Payload: JSON.stringify({ tests }) }),
    );
    const payload = new TextDecoder().decode(answer.Payload);
    if (answer.FunctionError) throw new Error(`CheckCode failed: ${payload}`);
    return verdictSchema.parse(JSON.parse(payload));
  } catch (error) {
    logger.error('the tests could not be read', error as Error);
    const detail = 'The tests could not be read, so nothing was started. Send the request again.';
    throw new Problem(503, 'unavailable', 'Unavailable', detail, [], { 'retry-after': '5' });
  }
}
