import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PythonFunction, type PythonFunctionOptions } from '../../local/python-function.ts';

const SANDBOX_IMAGE = fileURLToPath(new URL('../../sandbox-image', import.meta.url));
const python = process.env.PYTHON?.trim() || 'python3';

const HANDLER = `
import os
import time

calls = 0

def handler(event, context):
    global calls
    calls += 1
    match event["do"]:
        case "count":
            return {"calls": calls, "pid": os.getpid()}
        case "echo":
            return event["value"]
        case "print":
            print('{"result": "printed"}')
            return "returned"
        case "environment":
            return sorted(os.environ)
        case "raise":
            raise LookupError("no such code")
        case "odd":
            return float("nan")
        case "exit":
            os._exit(3)
        case "hang":
            time.sleep(60)
`;

let folder: string;
let opened: PythonFunction[];

function open(options: Partial<PythonFunctionOptions> = {}): PythonFunction {
  const opening = new PythonFunction({ python, folder, handler: 'example.main.handler', ...options });
  opened.push(opening);
  return opening;
}

beforeEach(() => {
  opened = [];
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'python-function-'));
  fs.mkdirSync(path.join(folder, 'example'));
  fs.writeFileSync(path.join(folder, 'example/main.py'), HANDLER);
});

afterEach(async () => {
  await Promise.all(opened.map((each) => each.close()));
  fs.rmSync(folder, { recursive: true });
});

describe('a Python function', () => {
  test('answers every call from one process, in order', async () => {
    const example = open();
    const replies = await Promise.all([1, 2, 3].map(() => example.invoke({ do: 'count' })));
    expect(replies).toMatchObject([{ calls: 1 }, { calls: 2 }, { calls: 3 }]);
    expect(new Set(replies.map((reply) => (reply as { pid: number }).pid)).size).toBe(1);
  });

  test('passes any JSON both ways', async () => {
    const value = {
      text: 'grüße\n\u2028"\ud83d\ude00',
      list: [1, 2.5, null, true],
      long: 'x'.repeat(1_000_000),
    };
    expect(await open().invoke({ do: 'echo', value })).toEqual(value);
    expect(await open().invoke({ do: 'echo', value: null })).toBeNull();
  });

  test('keeps what the handler prints out of the answers', async () => {
    expect(await open().invoke({ do: 'print' })).toBe('returned');
  });

  test('sees nothing of the environment of this process', async () => {
    process.env.OPENAI_API_KEY = 'secret';
    const names = await open().invoke({ do: 'environment' });
    expect(names).not.toContain('OPENAI_API_KEY');
    expect(names).toContain('PYTHONPATH');
  });

  test('rejects with the name and message of a Python exception, and goes on', async () => {
    const example = open();
    const failure = await example.invoke({ do: 'raise' }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(Error);
    expect(failure).toMatchObject({ name: 'LookupError', message: 'no such code' });
    expect((failure as Error).stack).toContain('in handler');
    await expect(example.invoke({ do: 'odd' })).rejects.toMatchObject({ name: 'ValueError' });
    expect(await example.invoke({ do: 'count' })).toMatchObject({ calls: 3 });
  });

  test('ends without a word when nobody is left to answer to, as after kill -9', async () => {
    const runtime = fileURLToPath(new URL('../../local/python_runtime.py', import.meta.url));
    const child = spawn(python, [runtime, 'example.main.handler'], {
      env: { PYTHONPATH: folder },
      cwd: folder,
    });
    const said = text(child.stderr);
    child.stdout.destroy();
    await once(child.stdout, 'close');
    child.stdin.end('{"do": "count"}\n');
    expect([await once(child, 'close'), await said]).toEqual([[0, null], '']);
  });

  test('a process that dies rejects its call only; the next call gets a new one', async () => {
    const example = open();
    const [dead, next] = await Promise.allSettled([
      example.invoke({ do: 'exit' }),
      example.invoke({ do: 'count' }),
    ]);
    expect(dead).toMatchObject({
      status: 'rejected',
      reason: {
        name: 'Runtime.ExitError',
        message: 'example.main.handler ended without an answer (exit code 3)',
      },
    });
    expect(next).toMatchObject({ status: 'fulfilled', value: { calls: 1 } });
  });

  test('a call beyond the time limit is ended', async () => {
    const example = open({ timeoutSeconds: 2 });
    await expect(example.invoke({ do: 'hang' })).rejects.toMatchObject({ name: 'Sandbox.Timedout' });
    expect(await example.invoke({ do: 'echo', value: 1 })).toBe(1);
  });

  test('a handler or a Python that is not there rejects the call', async () => {
    await expect(open({ handler: 'example.nowhere.handler' }).invoke({})).rejects.toMatchObject({
      name: 'Runtime.ExitError',
      message: expect.stringContaining('exit code 1'),
    });
    await expect(open({ python: '/nowhere/python3' }).invoke({})).rejects.toMatchObject({
      name: 'Runtime.ExitError',
      message: expect.stringContaining('ENOENT'),
    });
  });

  test('close ends the process and the call it is at', async () => {
    const example = open();
    const { pid } = (await example.invoke({ do: 'count' })) as { pid: number };
    const hanging = expect(example.invoke({ do: 'hang' })).rejects.toMatchObject({
      name: 'Runtime.ExitError',
    });
    await new Promise(setImmediate);
    await example.close();
    await hanging;
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    await expect(example.invoke({ do: 'count' })).rejects.toThrow('closed');
  });
});

test('CheckCode runs as a Python function', async () => {
  const code = 'import os\n';
  const server = http.createServer((_, response) => response.end(code)).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/code`;
  try {
    const checkCode = open({ folder: SANDBOX_IMAGE, handler: 'policy.check_code.handler' });
    expect(await checkCode.invoke({ code_url: url, policy: 'standard' })).toEqual({
      allowed: true,
      error_category: null,
      error: null,
      error_line: null,
      violations: [],
      standard_permits: false,
    });
    expect(await checkCode.invoke({ code_url: url, policy: 'strict' })).toMatchObject({
      allowed: false,
      error_category: 'policy_violation',
      error: expect.stringMatching(/^PolicyViolation: line 1: `os` is not allowed: /),
      error_line: 1,
      violations: [{ line: 1, rule: 'operating-system' }],
    });
    await expect(checkCode.invoke({ code_url: 'file:///etc/passwd' })).rejects.toMatchObject({
      name: 'ValueError',
    });
  } finally {
    server.close();
  }
});
