/** package-lock.json serves every machine, not only the one that wrote it. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

interface Entry {
  version?: string;
  resolved?: string;
  optionalDependencies?: Record<string, string>;
  engines?: { node?: string };
}
const { packages }: { packages: Record<string, Entry> } = JSON.parse(
  readFileSync('package-lock.json', 'utf8'),
);

test('it names no place to download from: that is the setting of who installs', () => {
  expect(Object.keys(packages).filter((name) => packages[name]?.resolved)).toEqual([]);
});

test('it has the packages of every platform, or `npm ci` refuses it', () => {
  const wanted = Object.values(packages).flatMap(({ optionalDependencies = {} }) =>
    Object.keys(optionalDependencies),
  );
  const names = Object.keys(packages);
  const missing = wanted.filter((name) => !names.some((path) => path.endsWith(`node_modules/${name}`)));
  expect(wanted.length).toBeGreaterThan(0);
  expect(missing).toEqual([]);
});

test('every package runs on the oldest Node that package.json names, so that npm warns of none', () => {
  const { engines } = JSON.parse(readFileSync('package.json', 'utf8')) as { engines: { node: string } };
  const oldest = numbers(engines.node.replace('>=', ''));
  const asked = Object.entries(packages).map(([name, entry]) => [name, entry.engines?.node ?? '*'] as const);
  expect(asked.filter(([, range]) => !allows(range, oldest))).toEqual([]);
});

test.each([
  ['>=20.19', true],
  ['>= 20.19.0', true],
  ['^20.19.0 || >=22.12.0', true],
  ['18 || 20 || >=22', true],
  ['*', true],
  ['>=v12.22.7', true],
  ['>=22.0.0', false],
  ['>=20.20.0', false],
  ['^20.19.1', false],
  ['^18.0.0 || >=21', false],
  ['18 || 22', false],
])('%s allows Node 20.19: %s', (range, expected) => {
  expect(allows(range, [20, 19, 0])).toBe(expected);
});

type Version = [major: number, minor: number, patch: number];

function numbers(version: string): Version {
  const [major = 0, minor = 0, patch = 0] = version.trim().replace(/^v/, '').split('.').map(Number);
  return [major, minor, patch];
}

/** Of ranges as packages name them for Node: `>=`, `^`, a version or a part of one, and `||`. */
function allows(range: string, version: Version): boolean {
  return range.split('||').some((one) => {
    const [, operator, least = ''] = /^\s*(>=|\^)?\s*v?([\d.]+|\*)\s*$/.exec(one) ?? [];
    if (least === '') throw new Error(`This range is not understood: ${one}`);
    if (least === '*') return true;
    const [major, minor, patch] = numbers(least);
    if (operator === undefined || operator === '^') {
      if (version[0] !== major) return false;
    }
    const weights = [1e6, 1e3, 1];
    const rank = (of: Version) => of.reduce((sum, part, at) => sum + part * (weights[at] ?? 0), 0);
    return rank(version) >= rank([major, minor, patch]);
  });
}

test('what `npm start` needs is there without the development dependencies', () => {
  const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    dependencies: Record<string, string>;
  };
  const imported = ['local', 'functions', 'web']
    .flatMap((folder) => readdirSync(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && /\.([jt]sx?|css)$/.test(entry.name))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((file) => !/(^|\/)(dist|node_modules)\//.test(file))
    .flatMap((file) => packagesImportedBy(readFileSync(file, 'utf8')));
  expect(imported).toContain('vite');
  expect(imported).toContain('esbuild');
  expect([...new Set(imported)].filter((name) => !dependencies[name])).toEqual([]);
});

/** The packages that a file imports values from. */
function packagesImportedBy(text: string): string[] {
  const addresses = [
    ...text.matchAll(/^\s*(?:import|export)\s(?!type\s)[^;]*?from\s+['"]([^'"]+)['"]/gm),
    ...text.matchAll(/^\s*@?import\s+['"]([^'"]+)['"]/gm),
    ...text.matchAll(/\bimport\(['"]([^'"]+)['"]\)/g),
  ].map(([, address = '']) => address);
  return addresses
    .filter((address) => /^(@[\w-]+\/)?[a-z][\w.-]*(\/|$)/.test(address))
    .map((address) => /^(@[\w-]+\/)?[^/]+/.exec(address)?.[0] ?? '');
}
