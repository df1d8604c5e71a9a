/** Who a request is from, as the API's handlers see it, and by which way it came. */
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { openApi } from '../../functions/api/get-openapi.ts';
import { routes } from '../../functions/api/routes.ts';
import { apiHandler } from '../../functions/http/middleware.ts';
import { handler as connect } from '../../functions/realtime/connect.ts';

const handler = apiHandler(async ({ owner }) => ({ status: 200, body: { owner } }));

async function request(authorizer?: object, headers: Record<string, string> = {}) {
  const event = {
    version: '2.0',
    routeKey: 'GET /executions',
    headers,
    requestContext: { requestId: 'request-1', ...(authorizer && { authorizer }) },
  } as unknown as APIGatewayProxyEventV2;
  const answer: APIGatewayProxyStructuredResultV2 = await handler(event, {} as Context);
  return { status: answer.statusCode, body: JSON.parse(answer.body ?? '') };
}

describe('the owner', () => {
  test('is who the key authorizer says', async () => {
    expect(await request({ lambda: { owner: 'alice' } })).toEqual({ status: 200, body: { owner: 'alice' } });
  });

  test('is the subject of a token', async () => {
    const jwt = {
      claims: { iss: 'https://issuer.example', sub: 'auth0|42', owner: 'mallory' },
      scopes: null,
    };
    expect(await request({ jwt })).toEqual({ status: 200, body: { owner: 'auth0|42' } });
  });

  test('is the user of this machine where nobody is asked', async () => {
    expect(await request()).toEqual({ status: 200, body: { owner: 'local' } });
  });

  test.each([
    { jwt: { claims: {} } },
    { jwt: { claims: { sub: '' } } },
    { lambda: { owner: '' } },
    { jwt: { claims: { sub: 'x'.repeat(766) } } },
    { jwt: { claims: { sub: 'ä'.repeat(200) } } },
    { jwt: { claims: { sub: '\ud800' } } },
    { lambda: null },
  ])('must be named: %j', async (authorizer) => {
    const { status, body } = await request(authorizer);
    expect(status).toBe(401);
    expect(body).toMatchObject({
      type: 'urn:recursive-ai-executor:problem:unknown-caller',
      request_id: 'request-1',
    });
  });
});

describe('with an origin secret', () => {
  afterEach(() => {
    delete process.env.ORIGIN_SECRET;
  });

  test('a request that did not come through CloudFront is refused', async () => {
    process.env.ORIGIN_SECRET = 'secret of CloudFront';
    for (const headers of [{}, { 'x-origin-secret': '' }, { 'x-origin-secret': 'secret of Cloudfront' }]) {
      const { status, body } = await request(
        { lambda: { owner: 'alice' } },
        headers as Record<string, string>,
      );
      expect(status).toBe(403);
      expect(body.type).toBe('urn:recursive-ai-executor:problem:wrong-address');
      expect(JSON.stringify(body)).not.toContain('secret of CloudFront');
    }
    const through = await request(
      { lambda: { owner: 'alice' } },
      { 'x-origin-secret': 'secret of CloudFront' },
    );
    expect(through.status).toBe(200);
  });

  test('so is a WebSocket, whose headers come as they were written', async () => {
    process.env.ORIGIN_SECRET = 'secret of CloudFront';
    const open = (headers: Record<string, string>) =>
      connect({ headers, requestContext: { connectionId: 'c' } } as never, {} as Context, {} as never);
    expect(await open({})).toEqual({ statusCode: 403 });
    expect(await open({ 'X-Origin-Secret': 'wrong' })).toEqual({ statusCode: 403 });
    // It came through, and lacks a ticket.
    expect(await open({ 'X-Origin-Secret': 'secret of CloudFront' })).toEqual({ statusCode: 401 });
  });
});

describe('openapi.json says of a route', () => {
  type Described = {
    paths: Record<string, Record<string, { security?: object[]; responses: Record<string, object> }>>;
    components: { securitySchemes?: Record<string, object> };
  };
  const describedUnder = (auth: string) => {
    vi.stubEnv('AUTH', auth);
    return openApi() as Described;
  };
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  test.each(['api-key', 'jwt'])('by which %s it is protected, if it is', (auth) => {
    const { paths, components } = describedUnder(auth);
    expect(Object.keys(components.securitySchemes ?? {})).toEqual([auth]);
    for (const { method, path, ...route } of routes) {
      const operation = paths[path.replace('+}', '}')]?.[method.toLowerCase()];
      const isOpen = 'open' in route;
      expect(operation?.security).toEqual(isOpen ? undefined : [{ [auth]: [] }]);
      expect('401' in (operation?.responses ?? {})).toBe(!isOpen);
    }
  });

  test('nothing of the kind where nobody is asked', () => {
    const text = JSON.stringify(describedUnder('none'));
    expect(text).not.toMatch(/security|"401"/);
  });
});
