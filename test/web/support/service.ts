/** A service with one execution that does what a test says: HTTP snapshot and events, and the WebSocket. */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';
import type { EventData, ExecutionEvent } from '../../../functions/events/events.ts';
import type { Execution } from '../../../functions/execution/execution.ts';
import { execution, events as number } from './executions.ts';

export type Service = Awaited<ReturnType<typeof startService>>;

export async function startService(snapshot: Execution = execution()) {
  const script: EventData[] = [];
  const requests: string[] = [];
  const messages: { action: string; after: number }[] = [];
  const service = {
    url: '',
    /** "GET /api/executions/e1" … in order */
    requests,
    /** what clients sent by WebSocket */
    messages,
    /** The events that a snapshot holds; null: those there are. */
    snapshot,
    /** Whether WebSockets are let in, HTTP is answered, and new events are sent to sockets. */
    sockets: true,
    answers: true,
    pushes: true,
    /** Answers the next request with another status; without a detail as a gateway before the service does. */
    refuse: null as null | { status: number; detail?: string },
    events: (): ExecutionEvent[] => number(...script),
    /** Happens now, told to all who listen. */
    emit(...happened: EventData[]) {
      const before = script.length;
      script.push(...happened);
      if (service.pushes) for (const event of service.events().slice(before)) broadcast([event]);
    },
    dropSockets() {
      for (const socket of sockets.clients) socket.terminate();
    },
    listeners: () => sockets.clients.size,
    async close() {
      service.dropSockets();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://service');
    requests.push(`${request.method} ${url.pathname}`);
    if (!service.answers) return request.socket.destroy();
    if (service.refuse) {
      const { status, detail } = service.refuse;
      service.refuse = null;
      if (!detail) return answer(response, status, { message: 'Service Unavailable' });
      return answer(response, status, { type: 'about:blank', title: 'No', status, detail, request_id: 'r1' });
    }
    if (url.pathname.endsWith('/events')) {
      const after = Number(url.searchParams.get('after'));
      return answer(response, 200, { events: service.events().slice(after) });
    }
    return answer(response, 200, service.snapshot);
  });
  const sockets = new WebSocketServer({ noServer: true });
  const broadcast = (events: ExecutionEvent[]) => {
    for (const socket of sockets.clients) socket.send(JSON.stringify({ events }));
  };
  server.on('upgrade', (request, socket, head) => {
    if (!service.sockets || !service.answers) return socket.destroy();
    sockets.handleUpgrade(request, socket, head, (client) => {
      client.on('message', (data) => {
        const message = JSON.parse(String(data)) as { action: string; after: number };
        messages.push(message);
        client.send(JSON.stringify({ events: service.events().slice(message.after) }));
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  service.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return service;
}

function answer(response: ServerResponse, status: number, body: object) {
  const type = status < 400 ? 'application/json' : 'application/problem+json';
  response.writeHead(status, { 'content-type': type, 'access-control-allow-origin': '*' });
  response.end(JSON.stringify(body));
}
