/**
 * The model server's key: OPENAI_API_KEY, or what the secret OPENAI_API_KEY_SECRET_ARN holds. The secret is read once
 * in a few minutes, and at once when the server refuses the key: so a key is replaced without a deployment.
 */
import { GetSecretValueCommand } from '@aws-sdk/client-secrets-manager';
import { secretsManager } from '../aws.ts';
import { config } from '../config.ts';
import { ModelError } from './errors.ts';

/** Milliseconds for which a key that was read is used. */
const LIFETIME = 300_000;

let cached: { key: string | undefined; until: number } | undefined;

/** Does `work` with the key; if the server refuses that and the secret holds another by now, once more with it. */
export async function withModelKey<T>(work: (apiKey: string | undefined) => Promise<T>): Promise<T> {
  const { modelKeySecretArn, model } = config;
  if (!modelKeySecretArn) return work(model.apiKey);
  const key = cached && Date.now() < cached.until ? cached.key : await readKey(modelKeySecretArn);
  try {
    return await work(key);
  } catch (error) {
    if (!(error instanceof ModelError) || error.kind !== 'wrong_key') throw error;
    const newKey = await readKey(modelKeySecretArn);
    if (newKey === key) throw error;
    return work(newKey);
  }
}

async function readKey(arn: string): Promise<string | undefined> {
  const { SecretString } = await secretsManager.send(new GetSecretValueCommand({ SecretId: arn }));
  const key = SecretString?.trim() || undefined;
  cached = { key, until: Date.now() + LIFETIME };
  return key;
}
