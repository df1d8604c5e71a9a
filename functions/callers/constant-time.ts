import { createHash, timingSafeEqual } from 'node:crypto';

/** Whether two secrets are the same, told in a time that says nothing about how much of them is. */
export function sameSecret(given: string, expected: string): boolean {
  const hash = (secret: string) => createHash('sha256').update(secret).digest();
  return timingSafeEqual(hash(given), hash(expected));
}
