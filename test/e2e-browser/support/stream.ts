/** An execution that exists in the browser alone: the test says what happens in it, at any size and speed. */
import type { Page, WebSocketRoute } from 'playwright-core';
import type { EventData } from '../../../functions/events/events.ts';
import { attempt, execution } from '../../web/support/executions.ts';

export interface StreamedExecution {
  path: string;
  /** Tells events to the page as one message. */
  send(...events: EventData[]): void;
  /** Resolves when the page listens. */
  listening: Promise<void>;
}

const ID = 'streamed';

/** To be called before the page is opened. */
export async function streamExecution(page: Page): Promise<StreamedExecution> {
  let socket: WebSocketRoute | undefined;
  let sequence = 0;
  let listens = () => {};
  const listening = new Promise<void>((resolve) => {
    listens = resolve;
  });
  const snapshot = execution({
    execution_id: ID,
    status: 'running',
    attempts: 1,
    created_at: new Date().toISOString(),
    results: [attempt({ status: 'generating', code: null, started_at: new Date().toISOString() })],
  });
  await page.route(`**/api/executions/${ID}`, (route) => route.fulfill({ json: snapshot }));
  await page.routeWebSocket(/\/ws\?/, (opened) => {
    socket = opened;
    opened.onMessage(() => {
      opened.send(JSON.stringify({ events: [] }));
      listens();
    });
  });
  return {
    path: `/executions/${ID}`,
    listening,
    send(...events) {
      const numbered = events.map((data) => {
        sequence++;
        return { execution_id: ID, sequence, at: new Date().toISOString(), ...data };
      });
      socket?.send(JSON.stringify({ events: numbered }));
    },
  };
}

/** Coloured output of `size` characters, in pieces as a sandbox sends them. */
export function* outputPieces(size: number, pieceSize = 16_000): Generator<string> {
  let text = '';
  let sent = 0;
  for (let line = 1; sent < size; line++) {
    text += `${line} \x1b[32mok\x1b[0m ${'some output of a program that has much to say '.repeat(line % 4)}\n`;
    if (text.length < pieceSize) continue;
    yield text.slice(0, pieceSize);
    sent += pieceSize;
    text = text.slice(pieceSize);
  }
}

/** A program of `lines` lines. */
export const longProgram = (lines: number) =>
  Array.from({ length: lines }, (_, line) => `value_${line} = sum(range(${line}))  # a comment`).join('\n');
