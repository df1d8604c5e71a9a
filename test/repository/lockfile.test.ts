/** package-lock.json serves every machine, not only the one that wrote it. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

interface Entry {
  version?: string;
  resolved?: string;
  optionalDependencies?: Record<string, string>;
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
