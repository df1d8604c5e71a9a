/** The tables of DynamoDB and their items. Keys are compared as bytes of UTF-8, as DynamoDB does. */
import type { Database } from '../database.ts';
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

/** A query reads this many rows at a time. */
const BATCH = 200;

export class Items {
  readonly #database: Database;
  readonly #tables = new Map<string, TableDescription>();

  constructor(database: Database) {
    this.#database = database;
    for (const row of database.all('SELECT description FROM tables')) {
      const table = JSON.parse(String(row.description)) as TableDescription;
      this.#tables.set(table.name, table);
    }
  }

  get tables(): ReadonlyMap<string, TableDescription> {
    return this.#tables;
  }

  putTable(table: TableDescription): void {
    this.#database.run('INSERT OR REPLACE INTO tables VALUES (?, ?)', table.name, JSON.stringify(table));
    this.#tables.set(table.name, table);
  }

  get(table: string, [pk, sk]: ItemKey): Item | undefined {
    const row = this.#database.get(
      'SELECT item FROM items WHERE table_name = ? AND pk = ? AND sk = ?',
      table,
      pk,
      sk,
    );
    return row && (JSON.parse(String(row.item)) as Item);
  }

  /** To be called within a transaction. */
  put(table: TableDescription, [pk, sk]: ItemKey, item: Item): void {
    const expires = table.timeToLive === null ? undefined : item[table.timeToLive];
    this.#database.run(
      'INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?)',
      table.name,
      pk,
      sk,
      JSON.stringify(item),
      expires && 'N' in expires ? Math.floor(Number(expires.N)) : null,
    );
    this.#database.run(
      'DELETE FROM index_keys WHERE table_name = ? AND pk = ? AND sk = ?',
      table.name,
      pk,
      sk,
    );
    for (const [name, { partition, sort }] of Object.entries(table.indexes)) {
      const indexPk = item[partition];
      const indexSk = sort === null ? { S: '' } : item[sort];
      if (indexPk && 'S' in indexPk && indexSk && 'S' in indexSk)
        this.#database.run(
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
      this.#database.run(`DELETE FROM ${from} WHERE table_name = ? AND pk = ? AND sk = ?`, table, pk, sk);
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
      const rows = this.#database.all(
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
      const rows = this.#database.all(
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
    return Number(
      this.#database.get('SELECT count(*) AS items FROM items WHERE table_name = ?', table)?.items,
    );
  }

  /** Removes what has expired; as on AWS, some time after it has. `now` in seconds. */
  deleteExpired(now: number): void {
    const expired = this.#database.all(
      'SELECT table_name, pk, sk FROM items WHERE expires IS NOT NULL AND expires < ? LIMIT 10000',
      Math.floor(now),
    );
    if (expired.length === 0) return;
    this.#database.transaction(() => {
      for (const { table_name, pk, sk } of expired) this.delete(String(table_name), [String(pk), String(sk)]);
    });
  }

  /** The request that came with this token in the last ten minutes. */
  requestOf(token: string): string | undefined {
    return this.#database.get('SELECT request FROM transactions WHERE token = ?', token)?.request as
      | string
      | undefined;
  }

  /** To be called within the transaction that the token is of. `now` in seconds. */
  rememberRequest(token: string, request: string, now: number): void {
    this.#database.run('DELETE FROM transactions WHERE at < ?', Math.floor(now) - 600);
    this.#database.run(
      'INSERT OR REPLACE INTO transactions VALUES (?, ?, ?)',
      token,
      request,
      Math.floor(now),
    );
  }
}
