/**
 * Run by `npm test` after all else: the AWS calls that the functions made while the tests ran
 * (test/support/record-calls.ts), held against the IAM policies of every environment.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { environments } from '../../infra/environments.ts';
import { evaluate, parseCalls, policiesOf, UNSEEN, unjustified, wildcardActions } from './permissions.ts';
import { synthesize } from './synthesize.ts';

const recorded = parseCalls(readFileSync(process.env.RECORD_AWS_CALLS ?? '', 'utf8'));
const calls = [...recorded, ...UNSEEN];

it('there are recorded calls of every function that the tests go through', () => {
  const functions = new Set(recorded.map((call) => call.function));
  expect(functions.size).toBeGreaterThan(15);
});

describe.each(environments.map(({ name }) => name))('%s', (name) => {
  const synthesized = synthesize(name);
  const policies = policiesOf(synthesized);
  const { refused, unused } = evaluate(calls, policies, synthesized);

  it('allows every call', () => expect(refused).toEqual([]));
  it('grants nothing that is not used', () => expect(unjustified(unused)).toEqual([]));
  it('grants no action by a pattern', () => expect(wildcardActions(policies)).toEqual([]));
});
