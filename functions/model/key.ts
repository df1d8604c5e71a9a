/**
 * The model server's key: OPENAI_API_KEY, or what the secret OPENAI_API_KEY_SECRET_ARN holds. The secret is read once
 * in a few minutes, and at once when the server refuses the key: so a key is replaced without a deployment.
 *
 * A new environment's secret holds nothing yet. Whether it does is seen without reading it, so those that only tell of it
 * need no right to.
 */
import {
  DescribeSecretCommand,
  GetSecretValueCommand,
  ResourceNotFoundException,
} from '@aws-sdk/client-secrets-manager';
import { secretsManager } from '../service/aws.ts';
import { config, OPENAI_URL } from '../service/config.ts';
import { logger } from '../service/logger.ts';
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
  const key = await readSecret(arn);
  cached = { key, until: Date.now() + LIFETIME };
  return key;
}

async function readSecret(arn: string): Promise<string | undefined> {
  try {
    const { SecretString } = await secretsManager.send(new GetSecretValueCommand({ SecretId: arn }));
    return SecretString?.trim() || undefined;
  } catch (error) {
    // So Secrets Manager says that a secret has no value.
    if (error instanceof ResourceNotFoundException) return undefined;
    throw error;
  }
}

/** Milliseconds after which a secret that was empty is looked at again. */
const LOOK_AGAIN = 10_000;

let seen: { empty: boolean; until: number } | undefined;

/** Why the model cannot be asked: a sentence for who uses the environment; null if nothing is known against it. */
export async function modelProblem(): Promise<string | null> {
  const { modelKeySecretArn, model } = config;
  // Servers other than OpenAI's may do without a key.
  if (!modelKeySecretArn || model.baseURL !== OPENAI_URL) return null;
  if (!seen || Date.now() >= seen.until) {
    const empty = await isEmpty(modelKeySecretArn);
    seen = { empty, until: Date.now() + (empty ? LOOK_AGAIN : LIFETIME) };
  }
  return seen.empty
    ? 'No model key is set yet: whoever deployed this puts one in, as docs/deploy.md says.'
    : null;
}

async function isEmpty(arn: string): Promise<boolean> {
  try {
    const { VersionIdsToStages = {} } = await secretsManager.send(
      new DescribeSecretCommand({ SecretId: arn }),
    );
    return !Object.values(VersionIdsToStages).some((stages) => stages.includes('AWSCURRENT'));
  } catch (error) {
    // Not to know is no reason to turn anybody away: the model's own answer will tell.
    logger.warn('the model key was not looked up', error as Error);
    return false;
  }
}
