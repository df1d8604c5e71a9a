/**
 * What lasts of the local AWS, in one SQLite file: what is answered has been written. Each write is one transaction of
 * SQLite, so it is there whole or not at all whenever the process is killed; one that fails, for want of disk say,
 * changes nothing and is told, and the next one is tried anew. The log is not synced at each write: the last ones before
 * a power cut can be lost.
 */
import fs from 'node:fs';
import Sqlite from 'libsql';
import { ConfigurationError } from '../../functions/service/errors.ts';

/** Counts the changes of the tables below that an earlier version could not read. */
const FORMAT = 1;

const SCHEMA = `
  -- DynamoDB: name ─► its description
  CREATE TABLE IF NOT EXISTS tables (name TEXT PRIMARY KEY, description TEXT NOT NULL) WITHOUT ROWID;
  -- DynamoDB: the items as its JSON has them, and when they expire (seconds since the epoch)
  CREATE TABLE IF NOT EXISTS items (
    table_name TEXT, pk TEXT, sk TEXT, item TEXT NOT NULL, expires INTEGER,
    PRIMARY KEY (table_name, pk, sk)
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS items_expiring ON items (expires) WHERE expires IS NOT NULL;
  -- DynamoDB: which items an index holds, and their order
  CREATE TABLE IF NOT EXISTS index_keys (
    table_name TEXT, index_name TEXT, index_pk TEXT, index_sk TEXT, pk TEXT, sk TEXT,
    PRIMARY KEY (table_name, index_name, index_pk, index_sk, pk, sk)
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS index_keys_of_item ON index_keys (table_name, pk, sk);
  -- DynamoDB: the tokens of the transactions of the last ten minutes
  CREATE TABLE IF NOT EXISTS transactions (token TEXT PRIMARY KEY, request TEXT NOT NULL, at INTEGER NOT NULL)
    WITHOUT ROWID;
  -- Records of the other services, as JSON
  CREATE TABLE IF NOT EXISTS documents (
    collection TEXT, key TEXT, document TEXT NOT NULL, PRIMARY KEY (collection, key)
  ) WITHOUT ROWID;
  PRAGMA user_version = ${FORMAT};
`;

type Row = Record<string, unknown>;

export class Database {
  readonly #lock: Sqlite.Database;
  readonly #sqlite: Sqlite.Database;
  readonly #statements = new Map<string, Sqlite.Statement>();

  /** @throws the error of SQLite, which `storageFailure` explains, or ConfigurationError if the format is newer */
  constructor(file: string) {
    this.#lock = lock(`${file}.lock`);
    try {
      this.#sqlite = open(file);
    } catch (error) {
      unlock(this.#lock);
      throw error;
    }
  }

  run(sql: string, ...values: unknown[]): void {
    this.#statement(sql).run(...values);
  }

  get(sql: string, ...values: unknown[]): Row | undefined {
    return this.#statement(sql).get(...values) as Row | undefined;
  }

  all(sql: string, ...values: unknown[]): Row[] {
    return this.#statement(sql).all(...values) as Row[];
  }

  /** Everything that `work` writes is written at once, or, if it throws, nothing. */
  transaction<T>(work: () => T): T {
    this.run('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.run('COMMIT');
      return result;
    } catch (error) {
      // A write that fails for want of disk may have rolled back already.
      if (this.#sqlite.inTransaction) this.run('ROLLBACK');
      throw error;
    }
  }

  /** The records of a service. */
  documents<T>(collection: string): Documents<T> {
    return new Documents(this, collection);
  }

  close(): void {
    try {
      // Closing would do it, were there not statements that hold the file open until they are collected.
      this.#sqlite.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    } catch (error) {
      // What stays in the log is read from there.
      if (!storageFailure(error)) throw error;
    }
    this.#sqlite.close();
    unlock(this.#lock);
  }

  #statement(sql: string): Sqlite.Statement {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#sqlite.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

/** Values by key, as JSON. */
export class Documents<T> {
  readonly #database: Database;
  readonly #collection: string;

  constructor(database: Database, collection: string) {
    this.#database = database;
    this.#collection = collection;
  }

  get(key: string): T | undefined {
    const sql = 'SELECT document FROM documents WHERE collection = ? AND key = ?';
    const row = this.#database.get(sql, this.#collection, key);
    return row && (JSON.parse(String(row.document)) as T);
  }

  put(key: string, value: T): void {
    const sql = 'INSERT OR REPLACE INTO documents VALUES (?, ?, ?)';
    this.#database.run(sql, this.#collection, key, JSON.stringify(value));
  }

  delete(key: string): void {
    this.#database.run('DELETE FROM documents WHERE collection = ? AND key = ?', this.#collection, key);
  }

  all(): T[] {
    const sql = 'SELECT document FROM documents WHERE collection = ? ORDER BY key';
    return this.#database.all(sql, this.#collection).map((row) => JSON.parse(String(row.document)) as T);
  }
}

/**
 * Keeps other processes out until `unlock` or the end of this one. A file of its own: a database that is locked itself
 * stays so after it is closed, until the last of its statements is collected.
 */
function lock(file: string): Sqlite.Database {
  const database = new Sqlite(file);
  try {
    database.exec('BEGIN EXCLUSIVE');
    return database;
  } catch (error) {
    database.close();
    if (storageFailure(error) !== 'damaged') throw error;
    // There is nothing in it, and nobody holds what nobody can open.
    fs.rmSync(file);
    return lock(file);
  }
}

function unlock(database: Sqlite.Database): void {
  database.exec('ROLLBACK');
  database.close();
}

function open(file: string): Sqlite.Database {
  if (isCut(file)) throw new DamagedFile(`${file} is shorter than its own header says`);
  const database = new Sqlite(file);
  try {
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
    // Else the damage would show whenever something that lies there is read. It takes a second for 700 MB.
    const [check] = database.prepare('PRAGMA quick_check(1)').all() as { quick_check: string }[];
    if (check?.quick_check !== 'ok') throw new DamagedFile(`${file}: ${check?.quick_check}`);
    const [row] = database.prepare('PRAGMA user_version').all() as { user_version: number }[];
    const version = row?.user_version ?? 0;
    if (version > FORMAT)
      throw new ConfigurationError(
        `${file} was written by a newer version (its format is ${version}, this one reads ${FORMAT}): ` +
          'start that version, or use another DATA_DIR.',
      );
    database.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT;`);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

class DamagedFile extends Error {}

/** SQLite takes an empty file for a new database, and reads what is missing of the last page as zeros. */
function isCut(file: string): boolean {
  if (!fs.existsSync(file)) return false;
  if (!fs.statSync(file).isFile()) return true;
  // What is missing may be in the log: a full disk stops the move from there in the middle.
  if ((fs.statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0) return false;
  const header = Buffer.alloc(100);
  const descriptor = fs.openSync(file, 'r');
  try {
    if (fs.readSync(descriptor, header) < header.length) return true;
    // https://www.sqlite.org/fileformat.html#the_database_header
    const pageSize = header.readUInt16BE(16) === 1 ? 65_536 : header.readUInt16BE(16);
    return fs.fstatSync(descriptor).size < pageSize * header.readUInt32BE(28);
  } finally {
    fs.closeSync(descriptor);
  }
}

/** What SQLite says of its file; undefined if the error is none of SQLite's. */
export function storageFailure(error: unknown): 'in use' | 'damaged' | 'unwritable' | undefined {
  if (error instanceof DamagedFile) return 'damaged';
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (/^SQLITE_(BUSY|LOCKED)/.test(code)) return 'in use';
  if (/^SQLITE_(NOTADB|CORRUPT)/.test(code)) return 'damaged';
  return code.startsWith('SQLITE_') ? 'unwritable' : undefined;
}
