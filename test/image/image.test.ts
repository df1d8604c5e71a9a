/** What the Dockerfile promises; that the image works is checked by .ci/image, which needs a Docker engine. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { ofType, synthesize } from '../infra/synthesize.ts';

const folder = path.join(import.meta.dirname, '../../sandbox-image');
const dockerfile = readFileSync(path.join(folder, 'Dockerfile'), 'utf8');

it('names its base by digest', () => {
  expect(dockerfile).toMatch(/^ARG BASE_IMAGE=\S+@sha256:[0-9a-f]{64}$/m);
  const bases = new Set([...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, base]) => base));
  expect([...bases]).toEqual(['$' + '{BASE_IMAGE}']);
});

it('has the Python of the function CheckCode', () => {
  const [, version] = /^ARG BASE_IMAGE=\S+python:(\d+\.\d+)/m.exec(dockerfile) ?? [];
  const runtimes = ofType(synthesize('prod').service, 'AWS::Lambda::Function')
    .filter(([, { Properties }]) => Properties.Handler === 'policy.check_code.handler')
    .map(([, { Properties }]) => Properties.Runtime);
  expect(runtimes).toEqual([`python${version}`]);
});

it('is described to the functions', () => {
  const told = (variable: string) =>
    ofType(synthesize('prod').service, 'AWS::Lambda::Function')
      .map(
        ([, { Properties }]) => Properties.Environment as { Variables: Record<string, string> } | undefined,
      )
      .flatMap((environment) => environment?.Variables[variable] ?? []);
  expect(dockerfile).toContain(`python:${told('SANDBOX_PYTHON_VERSION')[0]}-slim`);
  const packages = told('SANDBOX_PACKAGES')[0]
    ?.split(',')
    .map((pin) => pin.split('==')[0]);
  const offered = readFileSync(path.join(folder, 'requirements.in'), 'utf8').match(/^[a-z][\w-]*$/gm) ?? [];
  expect(packages).toEqual(expect.arrayContaining(offered));
});

it('keeps inputs on the disk that a task has', () => {
  const definitions = ofType(synthesize('prod').service, 'AWS::ECS::TaskDefinition');
  const mounts = definitions.flatMap(
    ([, { Properties }]) =>
      (Properties.ContainerDefinitions as { MountPoints: { ContainerPath: string }[] }[])[0]?.MountPoints,
  );
  const [, store] = /^ENV SANDBOX_STORE_DIR=(\S+)$/m.exec(dockerfile) ?? [];
  expect(mounts).toEqual([{ ContainerPath: store, ReadOnly: false, SourceVolume: 'store' }]);
  expect(definitions.map(([, { Properties }]) => Properties.Volumes)).toEqual([[{ Name: 'store' }]]);
  expect(dockerfile).toMatch(new RegExp(`^VOLUME ${store}$`, 'm'));
});

it('installs only what is pinned by version and hash', () => {
  expect(dockerfile).toContain('--require-hashes');
  const pins = readFileSync(path.join(folder, 'requirements.txt'), 'utf8')
    .split(/^(?=\w)/m)
    .slice(1);
  expect(pins.length).toBeGreaterThan(3);
  for (const pin of pins) expect(pin).toMatch(/^[\w-]+==[\w.]+ \\\n {4}--hash=sha256:[0-9a-f]{64}/);
});
