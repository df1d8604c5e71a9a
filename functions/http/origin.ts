/**
 * Whether a request came through CloudFront, and so through its firewall: CloudFront adds a secret to what it sends
 * on, and whoever calls API Gateway directly does not know it. Without ORIGIN_SECRET there is no CloudFront to come by.
 */

import { sameSecret } from '../callers/constant-time.ts';
import { config } from '../service/config.ts';

export function cameThroughCloudFront(headers: Record<string, string | undefined> = {}): boolean {
  const expected = config.originSecret;
  if (!expected) return true;
  // An event of the WebSocket API has the names of headers as they were sent.
  const [, given = ''] =
    Object.entries(headers).find(([name]) => name.toLowerCase() === 'x-origin-secret') ?? [];
  return sameSecret(given, expected);
}
