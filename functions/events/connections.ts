/** The WebSockets that are open, and the execution that each may follow. */
import { createItem, deleteItem, expiryIn, type Key, readItem } from '../service/items.ts';

interface ConnectionRecord {
  execution_id: string;
}

/** An API Gateway WebSocket lives two hours at most. */
const CONNECTION_SECONDS = 2 * 3600;

const connectionKey = (connectionId: string): Key => ({ pk: `CONNECTION#${connectionId}`, sk: 'CONNECTION' });

export async function createConnection(connectionId: string, executionId: string): Promise<void> {
  const record: ConnectionRecord = { execution_id: executionId };
  await createItem(connectionKey(connectionId), { ...record, expires: expiryIn(CONNECTION_SECONDS) });
}

/** The execution that a connection may follow. */
export async function getConnection(connectionId: string): Promise<string | undefined> {
  return (await readItem<ConnectionRecord>(connectionKey(connectionId)))?.execution_id;
}

/** Gives the execution that the connection could follow, if it was there. */
export async function deleteConnection(connectionId: string): Promise<string | undefined> {
  return (await deleteItem<ConnectionRecord>(connectionKey(connectionId)))?.execution_id;
}
