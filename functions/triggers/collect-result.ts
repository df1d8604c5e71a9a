/**
 * CollectResult: takes in what sandboxes upload, on the S3 events of mailbox/. S3 sends an event at least once and
 * perhaps late, so everything here may happen twice.
 */
import * as z from 'zod';
import { collect } from '../execution/collect.ts';
import { workflowHandler } from '../http/middleware.ts';
import { parseMailboxKey } from '../sandbox/mailbox.ts';
import { MalformedUpload } from '../service/errors.ts';
import { logger } from '../service/logger.ts';

const s3EventSchema = z.object({
  Records: z.array(z.object({ s3: z.object({ object: z.object({ key: z.string() }) }) })),
});

export const handler = workflowHandler(s3EventSchema, async ({ Records }): Promise<void> => {
  for (const { s3 } of Records) {
    // A key in an S3 event is encoded as in a form.
    const key = decodeURIComponent(s3.object.key.replaceAll('+', ' '));
    const upload = parseMailboxKey(key);
    if (!upload) continue;
    try {
      await collect(upload, key);
    } catch (error) {
      // Trying again would not help, and must not keep the rest of the events back.
      if (!(error instanceof MalformedUpload)) throw error;
      logger.error('malformed upload', { error: error.message });
    }
  }
});
