/** A generation as it is paid for: with the key that holds now, within the caller's quota of tokens, measured. */

import { bookTokens, settleTokens } from '../callers/quotas.ts';
import { config } from '../service/config.ts';
import { measure } from '../service/metrics.ts';
import { type GenerateRequest, generateCode, type Reply } from './client.ts';
import { ModelError } from './errors.ts';
import { withModelKey } from './key.ts';

/** What is booked for a generation until its tokens are counted: those of a reply, and the request's by its length. */
const REPLY_TOKENS = 2_000;
const CHARACTERS_OF_TOKEN = 4;

/** Has the model reply to `owner`. @throws QuotaExceeded, ModelError */
export async function generateMetered(
  owner: string,
  request: Omit<GenerateRequest, 'config'>,
): Promise<Reply> {
  const characters = request.messages.reduce((sum, { content }) => sum + content.length, 0);
  const booking = await bookTokens(owner, Math.ceil(characters / CHARACTERS_OF_TOKEN) + REPLY_TOKENS);
  const begun = performance.now();
  try {
    const reply = await withModelKey((apiKey) =>
      generateCode({ ...request, config: { ...config.model, apiKey } }),
    );
    measure('GenerationTime', (performance.now() - begun) / 1000);
    if (reply.usage) {
      measure('PromptTokens', reply.usage.prompt_tokens);
      measure('CompletionTokens', reply.usage.completion_tokens);
      if (booking) await settleTokens(booking, reply.usage.total_tokens);
    }
    return reply;
  } catch (error) {
    // A request that was refused cost nothing; a reply that broke off did, and what was booked for it stays.
    const refused = error instanceof ModelError && error.kind !== 'unavailable';
    if (booking && refused) await settleTokens(booking, 0);
    throw error;
  }
}
