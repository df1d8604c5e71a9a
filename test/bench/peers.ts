/**
 * npm run bench:peers: the same two attempts by us and by peers, in the same run and with a model that answers at once. The
 * peers are installed from PyPI. None of them has what we do beside: isolation, a store, a page that follows.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { python } from '../support/model-server.ts';
import { startProduct } from '../support/product.ts';
import { installTools } from '../support/python-tools.ts';
import { median, ms, ratio, report, timed } from './measure.ts';

const PACKAGES = [
  'smolagents==1.26.0',
  'autogen-core==0.7.5',
  'autogen-ext[openai]==0.7.5',
  'openai==3.57.0',
];
/** How many times as long as the peer we may take. */
const PROMISED = { smolagents: 2, autogen: 1.5, subprocess: 2 };
/** Rounds of a peer, and how often all of them take their turns. */
const ROUNDS = 5;
const TURNS = 3;

const FAILS = 'print(sum([1]) / 0)';
const WORKS = 'print(1 + 1)';
/** smolagents wants its own form, and an answer. */
const IN_TAGS = [`<code>\n${FAILS}\n</code>`, '<code>\nfinal_answer(1 + 1)\n</code>'] as const;
const FENCED = [python(FAILS), python(WORKS)] as const;

type Peer = keyof typeof PROMISED;

/** A model that answers at once and whole, as the peers ask it: with the second program where the first has failed. */
const model = createServer(async (request, response) => {
  const asked = await text(request);
  const [first, second] = asked.includes('peer smolagents') ? IN_TAGS : FENCED;
  const content = asked.includes('ZeroDivisionError') ? second : first;
  const answer = {
    id: 'chatcmpl-bench',
    object: 'chat.completion',
    created: 1,
    model: 'bench',
    choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content } }],
    usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
  };
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
}).listen(0, '127.0.0.1');
await once(model, 'listening');
const modelUrl = `http://127.0.0.1:${(model.address() as AddressInfo).port}/v1`;

const commands = await installTools('peers', PACKAGES);
const product = await startProduct({ warmSandboxes: 1 });
try {
  const peers = Object.keys(PROMISED) as Peer[];
  const ours: number[] = [];
  const theirs = new Map<Peer, number[]>(peers.map((peer) => [peer, []]));
  for (let turn = 0; turn < TURNS; turn += 1) {
    for (let round = 0; round <= ROUNDS; round += 1) {
      const time = await runOurs();
      if (round > 0) ours.push(time);
    }
    for (const peer of peers) theirs.get(peer)?.push(...(await runPeer(peer)));
  }
  for (const peer of peers) {
    const [us, them] = [median(ours), median(theirs.get(peer) ?? [])];
    report(
      `two attempts take at most ${PROMISED[peer]} × as long as with ${peer}`,
      `${ratio(us, them)} (${ms(us)} against ${ms(them)})`,
      us <= PROMISED[peer] * them,
    );
  }
} finally {
  await product.close();
  model.close();
}

function runOurs(): Promise<number> {
  product.model.replyTo('peer ours', python(FAILS), python(WORKS));
  return timed(async () => {
    const { final_result, error } = await product.run({ prompt: 'peer ours' });
    if (final_result?.output !== '2\n') throw new Error(`not as scripted: ${error}`);
  });
}

async function runPeer(peer: Peer): Promise<number[]> {
  const script = path.join(import.meta.dirname, 'peers.py');
  const args = [script, modelUrl, String(ROUNDS), peer];
  const { stdout } = await promisify(execFile)(path.join(commands, 'python3'), args);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '[]');
}
