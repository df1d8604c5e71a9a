/** The isolation that sandboxes reported last, layer by layer, for /health. */
import { changeItem, type Key, readItem } from '../service/items.ts';

type Isolation = Record<string, string>;

const ISOLATION: Key = { pk: 'SERVICE', sk: 'ISOLATION' };

export async function setIsolation(isolation: Isolation): Promise<void> {
  await changeItem(ISOLATION, { set: { isolation } });
}

/** null until the first sandbox has reported. */
export async function getIsolation(): Promise<Isolation | null> {
  return (await readItem<{ isolation: Isolation }>(ISOLATION))?.isolation ?? null;
}
