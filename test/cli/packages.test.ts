/** `npm run packages`: real environments with the real pip, which finds a small package of the test's own. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { offeredPackages } from '../../infra/sandbox-image.ts';
import { CommandFailed, explain, makeEnvironment } from '../../local/make-environment.ts';
import { packagesAdvice, packagesInBrief } from '../../local/packages.ts';
import { findPython } from '../../local/python.ts';
import {
  environmentFolder,
  environmentsFolder,
  findEnvironment,
  pythonVersion,
  removeOthers,
} from '../../local/python-environment.ts';
import type { Settings } from '../../local/settings.ts';

const ROOT = process.cwd();
const TSX = path.join(ROOT, 'node_modules/tsx/dist/cli.mjs');
const PIP_VARIABLES = [
  'PIP_INDEX_URL',
  'PIP_FIND_LINKS',
  'PIP_NO_INDEX',
  'PIP_NO_CACHE_DIR',
  'PIP_CONFIG_FILE',
  'PYTHON',
];

const python = await findPython();
const version = await pythonVersion(python);
const hasVenv = spawnSync(python, ['-c', 'import venv, ensurepip']).status === 0;

let dataDir: string;
const before = Object.fromEntries(PIP_VARIABLES.map((name) => [name, process.env[name]]));

beforeEach(() => {
  dataDir = mkdtempSync(path.join(tmpdir(), 'executor-packages-'));
  for (const name of PIP_VARIABLES) delete process.env[name];
  Object.assign(process.env, { PIP_CONFIG_FILE: '/dev/null', PIP_NO_CACHE_DIR: '1' });
});
afterEach(() => {
  for (const [name, value] of Object.entries(before)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  rmSync(dataDir, { recursive: true });
});

const settings = (sandbox: Settings['sandbox'] = 'process') => ({ dataDir, sandbox }) as Settings;

/** Serves, until the test has ended, a package index that has the package `tiny`; gives requirements that pin it. */
async function serveTinyPackage(): Promise<{ requirements: string; hash: string }> {
  const wheel = path.join(dataDir, 'tiny-1.2.3-py3-none-any.whl');
  const script = `
import sys, zipfile
info = "tiny-1.2.3.dist-info/"
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    wheel.writestr("tiny.py", "SIZE = 1")
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.2.3\\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr(info + "RECORD", "tiny.py,,\\n")
`;
  execFileSync(python, ['-c', script, wheel]);
  const hash = createHash('sha256').update(readFileSync(wheel)).digest('hex');
  const server = createServer(({ url }, response) => {
    if (url?.endsWith('.whl')) response.end(readFileSync(wheel));
    else response.setHeader('content-type', 'text/html').end(`<a href="/${path.basename(wheel)}">tiny</a>`);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  process.env.PIP_INDEX_URL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/simple`;
  return { requirements: requirementsWith(hash), hash };
}

function requirementsWith(hash: string): string {
  const requirements = path.join(dataDir, 'requirements.txt');
  writeFileSync(requirements, `tiny==1.2.3 \\\n    --hash=sha256:${hash}\n`);
  return requirements;
}

interface Watch {
  onStep?(step: string): void;
  onSize?(size: string): void;
  signal?: AbortSignal;
}
const make = (requirements: string, watch: Watch = {}) =>
  makeEnvironment(dataDir, python, {
    requirements,
    onStep: () => {},
    onSize: () => {},
    signal: new AbortController().signal,
    ...watch,
  });

const left = () => readdirSync(environmentsFolder(dataDir));

describe.skipIf(!hasVenv)('an environment', () => {
  test('is made with progress, found again, and used in place of python3', async () => {
    const { requirements } = await serveTinyPackage();
    const told: string[] = [];
    const onStep = (step: string) => told.push(step);
    const folder = await make(requirements, { onStep, onSize: (size) => told.push(size) });
    expect(told).toEqual([
      `Making an environment for Python ${version}`,
      'Downloading 1 of 1: tiny',
      expect.stringMatching(/^\d+ bytes|^[\d.]+ kB/),
      'Installing what was downloaded',
    ]);
    expect(left()).toEqual([path.basename(folder)]);
    const found = await findEnvironment(dataDir, requirements);
    expect(found).toEqual({ folder, python: path.join(folder, 'bin/python'), isCurrent: true });
    expect(
      execFileSync(found?.python ?? '', ['-c', 'import tiny; print(tiny.__file__)'], { encoding: 'utf8' }),
    ).toContain(folder);

    expect(await findPython(dataDir)).toBe(found?.python);
    process.env.PYTHON = python;
    expect(await findPython(dataDir)).toBe(python);

    // The requirements change: it is still used, and said to be old.
    writeFileSync(requirements, `${readFileSync(requirements, 'utf8')}# newer\n`);
    expect(await findEnvironment(dataDir, requirements)).toMatchObject({ folder, isCurrent: false });
  });

  test('is nowhere to be found after a fault, which is explained', async () => {
    await serveTinyPackage();
    const making = make(requirementsWith('0'.repeat(64)));
    await expect(making).rejects.toThrow(/gave other files than those that are pinned/);
    expect(left()).toEqual([]);
  });

  test('is nowhere to be found when its making is broken off', async () => {
    const interruption = new AbortController();
    const onStep = () => setImmediate(() => interruption.abort(new Error('stop')));
    const making = make(requirementsWith('0'.repeat(64)), { onStep, signal: interruption.signal });
    await expect(making).rejects.toThrow('stop');
    expect(left()).toEqual([]);
  });
});

describe('npm run packages', () => {
  function run(args: string[], env: Record<string, string> = {}) {
    const child: ChildProcess = spawn(
      process.execPath,
      [TSX, path.join(ROOT, 'local/install-packages.ts'), ...args],
      {
        cwd: dataDir,
        env: { ...process.env, DATA_DIR: dataDir, SANDBOX: 'process', ...env },
      },
    );
    const exited = once(child, 'exit').then(([code]) => code as number);
    return Promise.all([
      exited,
      text(child.stdout as NodeJS.ReadableStream),
      text(child.stderr as NodeJS.ReadableStream),
    ]);
  }

  test.skipIf(!hasVenv)('says that there is no network, and leaves nothing', async () => {
    const env = { PIP_INDEX_URL: 'http://127.0.0.1:9/simple' };
    const [code, stdout, stderr] = await run([], env);
    expect(stdout).toBe(
      `Making an environment for Python ${version}\n`.concat(stdout.split('\n').slice(1).join('\n')),
    );
    expect(stderr).toBe(
      'The packages could not be installed. The package index cannot be reached. Check the network, and the proxy and ' +
        "index in pip's settings (`pip config list`).\n",
    );
    expect(code).toBe(1);
    expect(left()).toEqual([]);
  });

  test('has nothing to do where programs run in Docker', async () => {
    const [code, stdout] = await run([], { SANDBOX: 'docker' });
    expect(stdout).toMatch(/^Programs run in Docker here/);
    expect(code).toBe(0);
  });

  test('--remove removes them, but not while they are used', async () => {
    expect(await run(['--remove'])).toEqual([0, 'There are none to remove.\n', '']);
    const folder = environmentFolder(dataDir, version);
    mkdirSync(path.join(folder, 'bin'), { recursive: true });
    symlinkSync(python, path.join(folder, 'bin/python'));
    const user = spawn(path.join(folder, 'bin/python'), ['-c', 'print(1, flush=True); input()']);
    await once(user.stdout, 'data');
    const [code, , stderr] = await run(['--remove']);
    expect(stderr).toBe(`${environmentsFolder(dataDir)} is in use: stop npm start first.\n`);
    expect(code).toBe(1);
    removeOthers(dataDir);
    expect(existsSync(folder)).toBe(true);
    user.stdin.end('\n');
    await once(user, 'exit');
    expect(await run(['--remove'])).toEqual([0, `Removed ${environmentsFolder(dataDir)}.\n`, '']);
    expect(existsSync(environmentsFolder(dataDir))).toBe(false);
  });

  test('names the packages, and refuses what it does not know', async () => {
    const [code, stdout] = await run(['--help']);
    expect(code).toBe(0);
    for (const name of offeredPackages()) expect(stdout).toContain(name);
    const [wrong, , stderr] = await run(['numpy']);
    expect(wrong).toBe(2);
    expect(stderr).toMatch(/^numpy is not known\.\n\nUsage/);
  });
});

test('an environment whose Python is another one by now is not used', async () => {
  const folder = path.join(environmentsFolder(dataDir), '3.9-0123456789ab');
  mkdirSync(path.join(folder, 'bin'), { recursive: true });
  symlinkSync(python, path.join(folder, 'bin/python'));
  expect(await findEnvironment(dataDir)).toBeNull();
  expect(await findPython(dataDir)).toBe(python);
  rmSync(path.join(folder, 'bin/python'));
  symlinkSync('/no/such/python', path.join(folder, 'bin/python'));
  expect(await findEnvironment(dataDir)).toBeNull();
});

test('what broken-off runs have left is removed, but not what another run is making', () => {
  const ended = spawnSync('true').pid;
  for (const name of [`.new-${ended}`, `.new-${process.pid}`, '3.11-0123456789ab', 'notes']) {
    mkdirSync(path.join(environmentsFolder(dataDir), name), { recursive: true });
  }
  removeOthers(dataDir);
  expect(left().sort()).toEqual([`.new-${process.pid}`, 'notes']);
});

test.each([
  [
    'The virtual environment was not created successfully because ensurepip is not available.  On Debian/Ubuntu systems, you need to install the python3-venv package',
    'apt-get install python3-venv',
  ],
  ['/usr/bin/python3: No module named venv', 'apt-get install python3-venv'],
  [
    'ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device',
    'The disk is full',
  ],
  [
    "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError(': Failed to establish a new connection: [Errno -3] Temporary failure in name resolution')': /simple/numpy/\nERROR: No matching distribution found for numpy==2.4.6",
    'cannot be reached',
  ],
  ['ERROR: No matching distribution found for numpy==2.4.6', 'Not every package has been built'],
  ['ERROR: something new', 'pip said:\nERROR: something new'],
])('explains %s', (said, advice) => {
  expect(String(explain(new CommandFailed(said)))).toContain(advice);
});

describe('what is said of packages', () => {
  const all = Object.fromEntries(offeredPackages().map((name) => [name, '1.0']));
  const count = offeredPackages().length;

  test('names the most used first', () => {
    expect(packagesInBrief({})).toBe('standard library only');
    expect(packagesInBrief({ attrs: '3', pandas: '2', numpy: '1' })).toBe('numpy 1, pandas 2, attrs 3');
    expect(packagesInBrief({ ...all, attrs: '3' })).toBe(
      `numpy 1.0, pandas 1.0, matplotlib 1.0, scikit-learn 1.0 and ${count - 3} more`,
    );
  });

  test('says how to get what is missing', async () => {
    expect(await packagesAdvice(all, settings())).toBeNull();
    expect(await packagesAdvice({}, settings())).toBe(
      `\`npm run packages\` gets numpy, pandas, matplotlib, scikit-learn and ${count - 4} more`,
    );
    const { pytest: _, ...most } = all;
    expect(await packagesAdvice(most, settings())).toBe('`npm run packages` gets pytest');
    expect(await packagesAdvice(most, settings('docker'))).toBe('the image is an older one: build it again');
    const old = path.join(environmentsFolder(dataDir), `${version}-0123456789ab`, 'bin');
    mkdirSync(old, { recursive: true });
    symlinkSync(python, path.join(old, 'python'));
    expect(await packagesAdvice(all, settings())).toBe('`npm run packages` brings them up to date');
    process.env.PYTHON = python;
    expect(await packagesAdvice({}, settings())).toBe(
      'PYTHON is set, so those of `npm run packages` are not used',
    );
  });
});
