/**
 * What CloudFront does before the emulator, which cannot reach an API at its AWS name from there: `/api` and `/ws` to
 * the APIs with the origin secret, `/files` to the bucket, all on one address.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { CloudFormationClient, DescribeStackResourcesCommand } from '@aws-sdk/client-cloudformation';
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';

export interface Front {
  url: string;
  close(): Promise<void>;
}

interface Origins {
  api: string;
  ws: string;
  secret: string;
}

/** In front of the `environment` that is deployed by when the first request comes. */
export async function startFront(emulator: string, environment: string): Promise<Front> {
  const target = new URL(emulator);
  let origins: Promise<Origins> | undefined;
  const find = async (url = '/'): Promise<{ path: string; secret?: string }> => {
    origins ??= findOrigins(environment);
    const { api, ws, secret } = await origins;
    if (url.startsWith('/files/')) return { path: url.slice('/files'.length) };
    return { path: `/_aws/execute-api/${url.startsWith('/ws') ? ws : api}${url}`, secret };
  };
  const server = createServer((incoming, response) => {
    forward(incoming, response).catch((error: Error) => response.destroy(error));
  });
  const forward = async (incoming: IncomingMessage, response: ServerResponse) => {
    const { path, secret } = await find(incoming.url);
    const headers = { ...incoming.headers, host: target.host, ...(secret && { 'x-origin-secret': secret }) };
    const { hostname, port } = target;
    const forwarded = request({ hostname, port, path, method: incoming.method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    forwarded.once('error', (error) => response.destroy(error));
    incoming.pipe(forwarded);
  };
  server.on('upgrade', (incoming, socket, head) => {
    upgrade(incoming, socket, head).catch((error: Error) => socket.destroy(error));
  });
  const upgrade = async (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
    const { path, secret } = await find(incoming.url);
    const headers = { ...incoming.headers, host: target.host, 'x-origin-secret': secret };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const upstream = connect(Number(target.port), target.hostname, () => {
      upstream.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
      upstream.write(head);
      socket.pipe(upstream).pipe(socket);
    });
    for (const [one, other] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function findOrigins(environment: string): Promise<Origins> {
  const { StackResources = [] } = await new CloudFormationClient().send(
    new DescribeStackResourcesCommand({ StackName: `recursive-ai-executor-${environment}` }),
  );
  const id = (type: string, logical: string) => {
    const found = StackResources.find(
      ({ ResourceType, LogicalResourceId }) =>
        ResourceType === type && LogicalResourceId?.startsWith(logical),
    );
    if (!found?.PhysicalResourceId) throw new Error(`The stack has no ${logical} (${type}).`);
    return found.PhysicalResourceId;
  };
  const { SecretString = '' } = await new SecretsManagerClient().send(
    new GetSecretValueCommand({ SecretId: id('AWS::SecretsManager::Secret', 'OriginSecret') }),
  );
  return {
    api: id('AWS::ApiGatewayV2::Api', 'ApiHttp'),
    ws: id('AWS::ApiGatewayV2::Api', 'ApiWebSockets'),
    secret: SecretString,
  };
}
