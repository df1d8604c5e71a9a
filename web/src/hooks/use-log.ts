import { useDeferredValue, useMemo, useState } from 'react';
import { LogSearch } from '../text/log-search.ts';
import { LogText } from '../text/log-text.ts';

/**
 * The log of `output`, and where `searched` occurs in it: `query`, or while that is being searched the one before. The
 * log is one object that changes with the output.
 */
export function useLog(output: string, query: string) {
  const [log] = useState(() => new LogText());
  const [search] = useState(() => new LogSearch());
  log.update(output);
  const searched = useDeferredValue(query);
  const matches = useMemo(() => search.update(log, searched), [log, search, output, searched]);
  return { log, searched, matches };
}
