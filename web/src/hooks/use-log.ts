import { useDeferredValue, useMemo, useState } from 'react';
import { type Match, search } from '../text/log-search.ts';
import { LogText } from '../text/log-text.ts';

/** The log of `output`, and where `query` occurs in it. The log is one object that changes with the output. */
export function useLog(output: string, query: string) {
  const [log] = useState(() => new LogText());
  log.update(output);
  const wanted = useDeferredValue(query);
  const matches: Match[] = useMemo(() => search(log, wanted), [log, output, wanted]);
  return { log, matches };
}
