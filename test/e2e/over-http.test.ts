/** The repair loop once more, with all AWS calls of the functions over HTTP and signed, as on AWS. */
import './repair.test.ts';
import { expect, test, vi } from 'vitest';

vi.hoisted(() => {
  process.env.TEST_TRANSPORT = 'http';
});

test('the functions speak HTTP here', async () => {
  const clients = Object.values(await import('../../functions/service/aws.ts'));
  for (const { config } of clients) expect(config.requestHandler.metadata?.handlerProtocol).toBe('http/1.1');
});
