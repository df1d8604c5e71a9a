/** Idempotency-Keys: the same key and body give the same execution, for a day. */
import { createItem, expiryIn } from '../service/items.ts';

interface Claim {
  execution_id: string;
  /** Of the request. */
  fingerprint: string;
}

const CLAIM_SECONDS = 86_400;

/** Ties an Idempotency-Key to an execution. Gives what the key is tied to: this, or what it was tied to before. */
export async function claimIdempotencyKey(owner: string, key: string, claim: Claim): Promise<Claim> {
  // An owner may have any name; encoded, it has no # and so cannot run into the key of another.
  const itemKey = { pk: `IDEMPOTENCY#${encodeURIComponent(owner)}#${key}`, sk: 'IDEMPOTENCY' };
  const fields = { ...claim, expires: expiryIn(CLAIM_SECONDS) };
  const { record = claim } = await createItem(itemKey, fields, { orExpired: true });
  return record;
}
