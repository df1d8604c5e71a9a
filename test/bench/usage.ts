/** What executions use of AWS, counted at the SDK's clients while the product runs. */
import { performance } from 'node:perf_hooks';
import { InvokeStore } from '@aws/lambda-invoke-store';
import { connections, dynamodb, ecs, s3, stepFunctions } from '../../functions/service/aws.ts';

interface Invocation {
  function: string;
  /** The executions and sandboxes that it was about. */
  ids: Set<string>;
  /** By service and operation, such as `DynamoDB PutItem`. */
  calls: Map<string, number>;
  /** RunCode's reads of the mailbox, as long as it looks for a result; they are calls as well. */
  looks: number;
  writeUnits: number;
  readUnits: number;
  /** Milliseconds of the first call and of the end of the last one. */
  from: number;
  to: number;
}

export interface Usage {
  invocations: Map<string, number>;
  calls: Map<string, number>;
  /** RunCode's reads of the mailbox, as long as it looks for a result; they are calls as well. */
  looks: number;
  /** DynamoDB's request units. */
  writeUnits: number;
  readUnits: number;
  /** Seconds of functions, from the first call of each to the end of its last. */
  functionSeconds: number;
}

const IDS = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|sandbox-[0-9a-f]{20}/g;
const DYNAMODB_READS = ['GetItem', 'Query'];
/** The keys of the indexes `history` and `work`. */
const INDEXED_BY = [
  ['owner', 'created_at'],
  ['work', 'work_at'],
];

type Stack = typeof dynamodb.middlewareStack;

export class UsageMeter {
  readonly #invocations = new Map<string, Invocation>();

  static async start(): Promise<UsageMeter> {
    const meter = new UsageMeter();
    const store = await InvokeStore.getInstanceAsync();
    const clients = { DynamoDB: dynamodb, S3: s3, SFN: stepFunctions, ECS: ecs, WebSocket: connections };
    for (const [service, client] of Object.entries(clients)) {
      (client.middlewareStack as unknown as Stack).add(
        (next, { commandName = '' }) =>
          async (args) => {
            // Only inside of an invocation.
            const name = store.get<string>('function');
            if (!name) return next(args);
            const id = store.getRequestId();
            const operation = commandName.replace(/Command$/, '');
            return meter.#count(id, name, service, operation, args.input as object, () => next(args));
          },
        { step: 'initialize', name: 'usageMeter', override: true },
      );
    }
    return meter;
  }

  async #count<Result extends { output: object }>(
    id: string,
    name: string,
    service: string,
    operation: string,
    input: object,
    send: () => Promise<Result>,
  ): Promise<Result> {
    const now = performance.now();
    const invocation = this.#invocations.get(id) ?? {
      function: name,
      ids: new Set(),
      calls: new Map(),
      looks: 0,
      writeUnits: 0,
      readUnits: 0,
      from: now,
      to: now,
    };
    this.#invocations.set(id, invocation);
    for (const [found] of JSON.stringify(input).matchAll(IDS)) invocation.ids.add(found);
    add(invocation.calls, `${service} ${operation}`, 1);
    if (name === 'states/run-code' && String((input as { Key?: string }).Key).startsWith('mailbox/')) {
      invocation.looks += 1;
    }
    // A write whose condition is not met costs as well.
    let units = 1;
    try {
      const result = await send();
      if (service === 'DynamoDB') units = unitsOf(operation, input, result.output);
      return result;
    } finally {
      invocation.to = performance.now();
      if (service === 'DynamoDB') {
        invocation[DYNAMODB_READS.includes(operation) ? 'readUnits' : 'writeUnits'] += units;
      }
    }
  }

  /** Of all invocations that were about one of `ids`. */
  of(...ids: string[]): Usage {
    const usage: Usage = {
      invocations: new Map(),
      calls: new Map(),
      looks: 0,
      writeUnits: 0,
      readUnits: 0,
      functionSeconds: 0,
    };
    for (const invocation of this.#invocations.values()) {
      if (!ids.some((id) => invocation.ids.has(id))) continue;
      add(usage.invocations, invocation.function, 1);
      for (const [call, times] of invocation.calls) add(usage.calls, call, times);
      usage.looks += invocation.looks;
      usage.writeUnits += invocation.writeUnits;
      usage.readUnits += invocation.readUnits;
      usage.functionSeconds += (invocation.to - invocation.from) / 1000;
    }
    return usage;
  }
}

interface ItemCall {
  TransactItems?: { Put?: ItemCall; Update?: { Key?: { sk?: string } } }[];
  Item?: object;
  Items?: object[];
  Attributes?: object;
}

/** Bytes, about as DynamoDB counts them: names and contents. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (typeof value === 'number') return 8;
  if (typeof value !== 'object' || value === null) return 1;
  return Object.entries(value).reduce((sum, [name, item]) => sum + name.length + sizeOf(item), 0);
}

/**
 * DynamoDB's request units: of 4 KB of what is read, of 1 KB of what is written, also into each index that it is in. In a
 * transaction, which does not tell the items, a changed one is taken for a small one; executions are in one index then.
 */
function unitsOf(operation: string, input: ItemCall, { Item, Items, Attributes }: ItemCall): number {
  const { Item: put, TransactItems: parts } = input;
  if (parts) {
    return parts.reduce((sum, { Put, Update }) => {
      const units = Put ? unitsOf('PutItem', Put, {}) : Update?.Key?.sk === 'EXECUTION' ? 2 : 1;
      return sum + 2 * units;
    }, 0);
  }
  const units = (size: number, bytes: number) => Math.max(Math.ceil(size / bytes), 1);
  if (DYNAMODB_READS.includes(operation)) return units(sizeOf(Items ?? Item), 4096);
  const written = put ?? Attributes;
  const indexes = INDEXED_BY.filter((keys) => written && keys.every((key) => key in written)).length;
  return (1 + indexes) * units(sizeOf(written), 1024);
}

const add = (counts: Map<string, number>, name: string, times: number) =>
  counts.set(name, (counts.get(name) ?? 0) + times);

/** How many calls of `usage` there were by their name, or by what it begins with. */
export const callsOf = ({ calls }: Usage, ...names: string[]) =>
  [...calls].reduce(
    (sum, [call, times]) => sum + (names.some((name) => call.startsWith(name)) ? times : 0),
    0,
  );

export const sum = (counts: Map<string, number>) => [...counts.values()].reduce((total, n) => total + n, 0);
