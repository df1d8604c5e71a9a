/** What an earlier life, or an accident, left in the data folder. */
import fs from 'node:fs';
import path from 'node:path';
import Sqlite from 'libsql';
import { expect, test } from 'vitest';
import { openDataFolder } from '../../local/aws/data-folder.ts';
import { temporaryFolder } from './support.ts';

const FOLDER = /set-aside-[\w-]+/;

/** A folder that has been in use, with a document in its database. */
function usedFolder(): string {
  const folder = temporaryFolder();
  const { database } = openDataFolder(folder);
  database.documents<string>('test').put('a', 'kept');
  database.close();
  return folder;
}

/** The bytes of a database of some pages, and of the log from which they came. */
function filledDatabase(): { file: Buffer; log: Buffer } {
  const folder = temporaryFolder();
  const { database } = openDataFolder(folder);
  const documents = database.documents<string>('test');
  for (const name of 'bcdefgh') documents.put(name, name.repeat(PAGE));
  documents.put('a', 'kept');
  const log = fs.readFileSync(path.join(folder, 'state.sqlite-wal'));
  database.close();
  return { file: fs.readFileSync(path.join(folder, 'state.sqlite')), log };
}

/** A folder as a runtime that was killed leaves it. */
function folderOf({ file, log }: { file: Buffer; log?: Buffer }): string {
  const folder = temporaryFolder();
  fs.writeFileSync(path.join(folder, 'state.sqlite'), file);
  if (log) fs.writeFileSync(path.join(folder, 'state.sqlite-wal'), log);
  return folder;
}

/** Opens a folder, gives what it says, and closes it. */
function open(folder: string) {
  const { database, notices, credentials } = openDataFolder(folder);
  const document = database.documents<string>('test').get('a');
  database.close();
  return { notices, credentials, document };
}

const PAGE = 4096;

/** Two pages of a database, from number `page` on. */
function overwriteFrom(file: string, page: number): void {
  const bytes = fs.readFileSync(file);
  bytes.fill('damage', page * PAGE, (page + 2) * PAGE);
  fs.writeFileSync(file, bytes);
}

test('a folder is as it was left', () => {
  const folder = usedFolder();
  const { credentials } = open(folder);
  expect(open(folder)).toEqual({ notices: [], credentials, document: 'kept' });
});

test.each([
  ['overwritten', (file: string) => fs.writeFileSync(file, 'no database'.repeat(1000))],
  ['cut', (file: string) => fs.truncateSync(file, fs.statSync(file).size - 5000)],
  ['empty', (file: string) => fs.truncateSync(file, 0)],
  ['overwritten in the middle', (file: string) => overwriteFrom(file, 2)],
  ['overwritten near its end', (file: string) => overwriteFrom(file, fs.statSync(file).size / PAGE - 2)],
])('a database that is %s is kept aside, and said', (_how, damage) => {
  const folder = usedFolder();
  const file = path.join(folder, 'state.sqlite');
  damage(file);
  const damaged = fs.readFileSync(file);
  const { notices, document } = open(folder);
  expect(notices).toEqual([expect.stringMatching(/state\.sqlite is damaged .*: it is kept in .*set-aside/)]);
  expect(document).toBeUndefined();
  const [kept = ''] = FOLDER.exec(notices[0] ?? '') ?? [];
  expect(fs.readFileSync(path.join(folder, kept, 'state.sqlite'))).toEqual(damaged);
  expect(open(folder).notices).toEqual([]);
});

test('a database whose log a full disk has kept from moving into it is whole', () => {
  const { file, log } = filledDatabase();
  // Its first page tells of all, which only the log has.
  expect(open(folderOf({ file: file.subarray(0, PAGE), log }))).toMatchObject({
    notices: [],
    document: 'kept',
  });
});

test('a lock that is overwritten is no matter', () => {
  const folder = usedFolder();
  fs.writeFileSync(path.join(folder, 'state.sqlite.lock'), Buffer.alloc(PAGE, 'other'));
  expect(open(folder)).toMatchObject({ notices: [], document: 'kept' });
});

test('one that is cut is damaged whatever is in its log', () => {
  const { file } = filledDatabase();
  const folder = folderOf({ file });
  const { database } = openDataFolder(folder);
  database.documents<string>('test').put('a', 'new');
  const log = fs.readFileSync(path.join(folder, 'state.sqlite-wal'));
  database.close();
  const { notices, document } = open(folderOf({ file: file.subarray(0, 3 * PAGE), log }));
  expect(notices).toEqual([expect.stringMatching(/state\.sqlite is damaged/)]);
  expect(document).toBeUndefined();
});

test.each(['', '{"accessKeyId":"LOCAL', '{}', 'null', '{"accessKeyId":5,"secretAccessKey":"x"}'])(
  'credentials that read %j are kept aside, and said',
  (text) => {
    const folder = usedFolder();
    fs.writeFileSync(path.join(folder, 'credentials.json'), text);
    const { notices, credentials, document } = open(folder);
    expect(notices).toEqual([expect.stringMatching(/credentials\.json cannot be read: it is kept in/)]);
    expect(document).toBe('kept');
    expect(open(folder)).toMatchObject({ notices: [], credentials });
  },
);

test.each(['state.sqlite', 'credentials.json'])(
  'a folder in the place of %s is kept aside, and said',
  (name) => {
    const folder = usedFolder();
    fs.rmSync(path.join(folder, name));
    fs.mkdirSync(path.join(folder, name));
    const { notices } = open(folder);
    expect(notices).toEqual([expect.stringMatching(/ is kept in .*set-aside/)]);
    expect(open(folder).notices).toEqual([]);
  },
);

test('a file in the place of the objects is kept aside, and said', () => {
  const folder = usedFolder();
  fs.rmSync(path.join(folder, 's3'), { recursive: true });
  fs.writeFileSync(path.join(folder, 's3'), '');
  const { notices, document } = open(folder);
  expect(notices).toEqual([expect.stringMatching(/s3 is no folder: it is kept in .*set-aside/)]);
  expect(document).toBe('kept');
});

test('the files of an earlier format are kept aside together, and said', () => {
  const folder = temporaryFolder();
  for (const file of ['dynamodb/CURRENT', 'step-functions/running/a.json', 's3/executor/a@', 'ecs.json']) {
    fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    fs.writeFileSync(path.join(folder, file), file);
  }
  const { notices } = open(folder);
  expect(notices).toEqual([expect.stringMatching(/format of an earlier version, .* kept in/)]);
  const [kept = ''] = FOLDER.exec(notices[0] ?? '') ?? [];
  expect(fs.readdirSync(path.join(folder, kept)).sort()).toEqual([
    'dynamodb',
    'ecs.json',
    's3',
    'step-functions',
  ]);
  expect(fs.readdirSync(path.join(folder, 's3'))).toEqual([]);
  expect(open(folder).notices).toEqual([]);
});

test('a database of a newer version is left alone', () => {
  const folder = usedFolder();
  const file = new Sqlite(path.join(folder, 'state.sqlite'));
  file.exec('PRAGMA user_version = 99');
  file.close();
  expect(() => open(folder)).toThrow(/newer version \(its format is 99/);
});

test('a folder serves one process at a time', () => {
  const folder = temporaryFolder();
  const { database } = openDataFolder(folder);
  expect(() => openDataFolder(folder)).toThrow(/in use by another process/);
  database.close();
  open(folder);
});

test('a data folder that is a file, or cannot be made, is said in a sentence', () => {
  const file = path.join(temporaryFolder(), 'file');
  fs.writeFileSync(file, '');
  expect(() => openDataFolder(file)).toThrow(/is a file, not a folder: use another DATA_DIR/);
  expect(() => openDataFolder(path.join(file, 'below'))).toThrow(
    /is a file, not a folder: use another DATA_DIR/,
  );
  const link = `${file}-link`;
  fs.symlinkSync('/nowhere/at/all', link);
  expect(() => openDataFolder(link)).toThrow(/cannot be used: .*Use another DATA_DIR/);
});
