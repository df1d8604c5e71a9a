import { afterEach, describe, expect, test, vi } from 'vitest';
import { wantedWarmSandboxes } from '../../functions/sandbox/warm-hours.ts';

afterEach(() => vi.unstubAllEnvs());

/** How many are wanted at a time in UTC. */
function wanted(hours: string, at: string): number {
  vi.stubEnv('WARM_SANDBOXES', '2');
  vi.stubEnv('WARM_HOURS', hours);
  return wantedWarmSandboxes(new Date(at));
}

// 2026-11-23 is a Monday.
test.each([
  ['', '2026-11-22T03:00Z', 2],
  ['Mon-Fri 8-18 UTC', '2026-11-23T08:00Z', 2],
  ['Mon-Fri 8-18 UTC', '2026-11-23T07:59Z', 0],
  ['Mon-Fri 8-18 UTC', '2026-11-27T17:59Z', 2],
  ['Mon-Fri 8-18 UTC', '2026-11-27T18:00Z', 0],
  ['Mon-Fri 8-18 UTC', '2026-11-28T12:00Z', 0],
  ['Mon-Fri 8-18 America/New_York', '2026-11-23T22:30Z', 2],
  ['Mon-Fri 8-18 Asia/Tokyo', '2026-11-22T23:00Z', 2],
  ['Sat-Mon 0-24 UTC', '2026-11-22T00:00Z', 2],
  ['Sat-Mon 0-24 UTC', '2026-11-24T00:00Z', 0],
  ['Wed-Wed 0-24 UTC', '2026-11-25T23:59Z', 2],
])('%j at %s: %i', (hours, at, number) => {
  expect(wanted(hours, at)).toBe(number);
});

describe('a wrong value is an error that says how to write it', () => {
  test.each([
    'always',
    'Mon-Fri 18-8 UTC',
    'Mon-Fri 8-25 UTC',
    'Mon-Fri 8-18',
    'Mon-Fri 8-18 Europe/Nowhere',
    'mon-fri 8-18 UTC',
  ])('%j', (hours) => {
    expect(() => wanted(hours, '2026-11-23T08:00Z')).toThrow(
      /^WARM_HOURS must be days, hours and a time zone/,
    );
  });
});
