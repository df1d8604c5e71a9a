/** What the local AWS makes of a disk that takes no more. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ObjectStore } from '../../local/aws/object-store.ts';
import { StorageHealth } from '../../local/aws/storage-health.ts';
import { canMount, mountSmallDisk, type SmallDisk } from '../support/small-disk.ts';

let disk: SmallDisk;
let store: ObjectStore;
let health: StorageHealth;

beforeEach((context) => {
  if (!canMount) context.skip('a small disk can only be mounted by root');
  disk = mountSmallDisk(10, 1_000);
  store = new ObjectStore(path.join(disk.folder, 's3'));
  store.createBucket('files');
  health = new StorageHealth(
    disk.folder,
    () => store.tryWrite(),
    () => {},
  );
});
afterEach(() => {
  health?.close();
  disk?.remove();
});

const put = (key: string) => store.put('files', key, Buffer.alloc(100_000), {});
const incoming = () => readdirSync(path.join(disk.folder, 's3', '.incoming'));

test('without room for bytes, or for files, no new work is taken until there is some', async () => {
  expect(health.problem).toBeNull();
  for (const fill of [() => disk.fill(), () => disk.fillWithFiles(5)]) {
    fill();
    expect(health.problem).toContain(disk.folder);
    disk.free();
    await health.whole();
    expect(health.problem).toBeNull();
  }
});

test('a database that is damaged under way is told as that, and no writing helps', () => {
  const message = 'database disk image is malformed';
  expect(health.blames(Object.assign(new Error(message), { code: 'SQLITE_CORRUPT' }))).toBe(true);
  expect(health.problem).toMatch(/is damaged \(.* malformed\)\. .* start it again: it then keeps that aside/);
});

test('of an upload that cannot be kept nothing is left, wherever it failed', async () => {
  disk.fill();
  expect(() => put('no/room')).toThrow(/ENOSPC/);
  expect(incoming()).toEqual([]);
  disk.free();
  // There is a file for it, but no folder.
  disk.fillWithFiles(1);
  expect(() => put('no/folder')).toThrow(/ENOSPC/);
  expect(incoming()).toEqual([]);
  disk.free();
  put('room/again');
  expect(store.keys('files', '')).toEqual(['room/again']);
});
