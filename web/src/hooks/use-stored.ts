import { useEffect, useState } from 'react';

/** State that survives a reload, as JSON in `storage`. */
export function useStored<T>(key: string, initial: T, storage: Storage) {
  const [value, setValue] = useState<T>(() => read(key, storage) ?? initial);
  useEffect(() => storage.setItem(key, JSON.stringify(value)), [key, storage, value]);
  return [value, setValue] as const;
}

function read<T>(key: string, storage: Storage): T | null {
  try {
    return JSON.parse(storage.getItem(key) ?? 'null') as T | null;
  } catch {
    // Something else wrote it; the next change writes over it.
    return null;
  }
}
