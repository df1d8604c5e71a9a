/**
 * Tables in one SQLite file: what is answered has been written. Each write is one transaction of SQLite, so it is there
 * whole or not at all whenever the process is killed; one that fails, for want of disk say, changes nothing and the next
 * one is tried anew. The log is not synced at each write: the last ones before a power cut can be lost.
 *
 *   tables        name ─► its description
 *   items         table, pk, sk ─► the item as DynamoDB's JSON, and when it expires
 *   index_keys    table, index, pk, sk, and the item's own key: which items an index holds, and their order
 *   transactions  the tokens of the transactions of the last ten minutes
 *
 * Keys are compared as bytes of UTF-8, as in DynamoDB.
 */
import fs from 'node:fs';
import Database from 'libsql';
import { ConfigurationError } from '../../../functions/core/errors.ts';
import type { Item } from './values.ts';

export interface TableKeys {
  partition: string;
  sort: string | null;
}

export interface TableDescription {
  name: string;
  created: number;
  keys: TableKeys;
  indexes: Record<string, TableKeys>;
  timeToLive: string | null;
}

/** Partition and sort key; '' where a table has no sort key. */
export type ItemKey = [partition: string, sort: string];

export interface Range {
  table: string;
  index: string | null;
  partition: string;
  /** Only sort keys from here on, inclusive. */
  from: string;
  /** Only sort keys up to here, inclusive; undefined: to the end. */
  to: string | undefined;
  forward: boolean;
  /** Begin behind this place. */
  after: { sort: string; key: ItemKey } | undefined;
}

const SCHEMA_VERSION = 1;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS tables (name TEXT PRIMARY KEY, description TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS items (
    table_name TEXT, pk TEXT, sk TEXT, item TEXT NOT NULL, expires INTEGER,
    PRIMARY KEY (table_name, pk, sk)
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS items_expiring ON items (expires) WHERE expires IS NOT NULL;
  CREATE TABLE IF NOT EXISTS index_keys (
    table_name TEXT, index_name TEXT, index_pk TEXT, index_sk TEXT, pk TEXT, sk TEXT,
    PRIMARY KEY (table_name, index_name, index_pk, index_sk, pk, sk)
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS index_keys_of_item ON index_keys (table_name, pk, sk);
  CREATE TABLE IF NOT EXISTS transactions (token TEXT PRIMARY KEY, request TEXT NOT NULL, at INTEGER NOT NULL)
    WITHOUT ROWID;
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/** A query reads this many rows at a time. */
const BATCH = 200;

export class ItemDatabase {
  readonly #database: Database.Database;
  readonly #lock: Database.Database;
  readonly #statements = new Map<string, Database.Statement>();
  readonly #tables = new Map<string, TableDescription>();

  /** @throws the error of SQLite, which `storageFailure` explains, or ConfigurationError if the format is newer */
  constructor(file: string) {
    this.#lock = lock(`${file}.lock`);
    try {
      this.#database = open(file);
      for (const row of this.#all('SELECT description FROM tables')) {
        const table = JSON.parse(String(row.description)) as TableDescription;
        this.#tables.set(table.name, table);
      }
    } catch (error) {
      unlock(this.#lock);
      throw error;
    }
  }

  get tables(): ReadonlyMap<string, TableDescription> {
    return this.#tables;
  }

  putTable(table: TableDescription): void {
    this.#run('INSERT OR REPLACE INTO tables VALUES (?, ?)', table.name, JSON.stringify(table));
    this.#tables.set(table.name, table);
  }

  /** Everything that `work` writes is written at once, or, if it throws, nothing. */
  transaction<T>(work: () => T): T {
    this.#run('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#run('COMMIT');
      return result;
    } catch (error) {
      // A write that fails for want of disk may have rolled back already.
      if (this.#database.inTransaction) this.#run('ROLLBACK');
      throw error;
    }
  }

  get(table: string, [pk, sk]: ItemKey): Item | undefined {
    const row = this.#get('SELECT item FROM items WHERE table_name = ? AND pk = ? AND sk = ?', table, pk, sk);
    return row && (JSON.parse(String(row.item)) as Item);
  }

  /** To be called within a transaction. */
  put(table: TableDescription, [pk, sk]: ItemKey, item: Item): void {
    const expires = table.timeToLive === null ? undefined : item[table.timeToLive];
    this.#run(
      'INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?)',
      table.name,
      pk,
      sk,
      JSON.stringify(item),
      expires && 'N' in expires ? Math.floor(Number(expires.N)) : null,
    );
    this.#run('DELETE FROM index_keys WHERE table_name = ? AND pk = ? AND sk = ?', table.name, pk, sk);
    for (const [name, { partition, sort }] of Object.entries(table.indexes)) {
      const indexPk = item[partition];
      const indexSk = sort === null ? { S: '' } : item[sort];
      if (indexPk && 'S' in indexPk && indexSk && 'S' in indexSk)
        this.#run(
          'INSERT INTO index_keys VALUES (?, ?, ?, ?, ?, ?)',
          table.name,
          name,
          indexPk.S,
          indexSk.S,
          pk,
          sk,
        );
    }
  }

  /** To be called within a transaction. */
  delete(table: string, [pk, sk]: ItemKey): void {
    for (const from of ['index_keys', 'items'])
      this.#run(`DELETE FROM ${from} WHERE table_name = ? AND pk = ? AND sk = ?`, table, pk, sk);
  }

  /** The items of one partition, of the table or of an index, in order. */
  *query({ table, index, partition, from, to, forward, after }: Range): Generator<Item> {
    const [direction, beyond] = forward ? ['ASC', '>'] : ['DESC', '<'];
    const source =
      index === null
        ? { tables: 'items', partition: 'pk', sort: 'sk', tie: [] }
        : {
            tables: 'index_keys JOIN items USING (table_name, pk, sk)',
            partition: 'index_pk',
            sort: 'index_sk',
            tie: ['pk', 'sk'],
          };
    const order = [source.sort, ...source.tie];
    let place = after && [after.sort, ...(index === null ? [] : after.key)];
    for (;;) {
      const rows = this.#all(
        `SELECT item, ${order.join(', ')} FROM ${source.tables}
         WHERE table_name = ? ${index === null ? '' : 'AND index_name = ?'} AND ${source.partition} = ?
           AND ${source.sort} >= ? ${to === undefined ? '' : `AND ${source.sort} <= ?`}
           ${place ? `AND (${order.join(', ')}) ${beyond} (${order.map(() => '?').join(', ')})` : ''}
         ORDER BY ${order.map((column) => `${column} ${direction}`).join(', ')} LIMIT ${BATCH}`,
        table,
        ...(index === null ? [] : [index]),
        partition,
        from,
        ...(to === undefined ? [] : [to]),
        ...(place ?? []),
      );
      for (const row of rows) yield JSON.parse(String(row.item)) as Item;
      const last = rows.at(-1);
      if (!last || rows.length < BATCH) return;
      place = order.map((column) => String(last[column]));
    }
  }

  /** All items of a table, in no order that means anything, from behind `after` on. */
  *scan(table: string, after: ItemKey | undefined): Generator<Item> {
    let place = after;
    for (;;) {
      const rows = this.#all(
        `SELECT item, pk, sk FROM items WHERE table_name = ? ${place ? 'AND (pk, sk) > (?, ?)' : ''}
         ORDER BY pk, sk LIMIT ${BATCH}`,
        table,
        ...(place ?? []),
      );
      for (const row of rows) yield JSON.parse(String(row.item)) as Item;
      const last = rows.at(-1);
      if (!last || rows.length < BATCH) return;
      place = [String(last.pk), String(last.sk)];
    }
  }

  count(table: string): number {
    return Number(this.#get('SELECT count(*) AS items FROM items WHERE table_name = ?', table)?.items);
  }

  /** Removes what has expired; as on AWS, some time after it has. `now` in seconds. */
  deleteExpired(now: number): void {
    const expired = this.#all(
      'SELECT table_name, pk, sk FROM items WHERE expires IS NOT NULL AND expires < ? LIMIT 10000',
      Math.floor(now),
    );
    if (expired.length === 0) return;
    this.transaction(() => {
      for (const { table_name, pk, sk } of expired) this.delete(String(table_name), [String(pk), String(sk)]);
    });
  }

  /** The request that came with this token in the last ten minutes. */
  requestOf(token: string): string | undefined {
    return this.#get('SELECT request FROM transactions WHERE token = ?', token)?.request as
      | string
      | undefined;
  }

  /** To be called within the transaction that the token is of. `now` in seconds. */
  rememberRequest(token: string, request: string, now: number): void {
    this.#run('DELETE FROM transactions WHERE at < ?', Math.floor(now) - 600);
    this.#run('INSERT OR REPLACE INTO transactions VALUES (?, ?, ?)', token, request, Math.floor(now));
  }

  close(): void {
    // Its last statement, not the closing, writes the log into the file, as statements that are not collected hold it open.
    this.#database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    this.#database.close();
    unlock(this.#lock);
  }

  #statement(sql: string): Database.Statement {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #run(sql: string, ...values: unknown[]): void {
    this.#statement(sql).run(...values);
  }

  #get(sql: string, ...values: unknown[]): Record<string, unknown> | undefined {
    return this.#statement(sql).get(...values) as Record<string, unknown> | undefined;
  }

  #all(sql: string, ...values: unknown[]): Record<string, unknown>[] {
    return this.#statement(sql).all(...values) as Record<string, unknown>[];
  }
}

/**
 * Keeps other processes out until `unlock` or the end of this one. A file of its own: a database that is locked itself
 * stays so after it is closed, until the last of its statements is collected.
 */
function lock(file: string): Database.Database {
  const database = new Database(file);
  try {
    database.exec('BEGIN EXCLUSIVE');
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function unlock(database: Database.Database): void {
  database.exec('ROLLBACK');
  database.close();
}

function open(file: string): Database.Database {
  if (isCut(file)) throw new CutFile(`${file} is shorter than its own header says`);
  const database = new Database(file);
  try {
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
    const [row] = database.prepare('PRAGMA user_version').all() as { user_version: number }[];
    const version = row?.user_version ?? 0;
    if (version > SCHEMA_VERSION)
      throw new ConfigurationError(
        `${file} was written by a newer version (its format is ${version}, this one reads ${SCHEMA_VERSION}): ` +
          'start that version, or use another DATA_DIR.',
      );
    database.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT;`);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

class CutFile extends Error {}

/** SQLite takes an empty file for a new database, and reads what is missing of the last page as zeros. */
function isCut(file: string): boolean {
  if (!fs.existsSync(file)) return false;
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
  if (error instanceof CutFile) return 'damaged';
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (/^SQLITE_(BUSY|LOCKED)/.test(code)) return 'in use';
  if (/^SQLITE_(NOTADB|CORRUPT)/.test(code)) return 'damaged';
  return code.startsWith('SQLITE_') ? 'unwritable' : undefined;
}
