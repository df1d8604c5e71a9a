/**
 * The authorizer of the HTTP API where callers have API keys: who sends one of ours as `x-api-key` is its owner. The
 * answer is kept by API Gateway for a few minutes, so a revoked key may be taken for as long.
 */
import type { APIGatewayRequestAuthorizerEventV2 } from 'aws-lambda';
import { ownerOf } from '../callers/keys.ts';
import { gatewayHandler } from '../http/middleware.ts';
import { logger } from '../service/logger.ts';

type Authorization = { isAuthorized: true; context: { owner: string } } | { isAuthorized: false };

export const handler = gatewayHandler(
  async ({ headers, routeKey }: APIGatewayRequestAuthorizerEventV2): Promise<Authorization> => {
    const owner = await ownerOf(headers?.['x-api-key'] ?? '');
    if (owner !== null) return { isAuthorized: true, context: { owner } };
    logger.warn('key refused', { route: routeKey });
    return { isAuthorized: false };
  },
);
