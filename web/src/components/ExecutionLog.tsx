import { type KeyboardEvent, useDeferredValue, useState } from 'react';
import type { AttemptState } from '../execution/reduce.ts';
import { useLog } from '../hooks/use-log.ts';
import { count } from '../text/format.ts';
import { MAX_MATCHES } from '../text/log-search.ts';
import { withoutEscapes } from '../text/log-text.ts';
import { download } from '../text/save.ts';
import { CopyButton } from './CopyButton.tsx';
import { Button } from './controls.tsx';
import { DownloadIcon, SearchIcon } from './icons.tsx';
import { LogView } from './LogView.tsx';
import { Nothing, Panel } from './Panel.tsx';

/** What the program printed: streamed, coloured, to be searched, copied and saved. */
export function ExecutionLog({ attempt, className }: { attempt: AttemptState; className?: string }) {
  const [query, setQuery] = useState('');
  const [chosen, setChosen] = useState(0);
  // Typing in the prompt goes before showing what streams in.
  const output = useDeferredValue(attempt.output ?? '');
  const { log, searched, matches } = useLog(output, query);
  const found = matches.length;
  const at = chosen < found ? chosen : 0;
  // Empty lines alone are nothing to look at.
  const lines = attempt.without_output ? 0 : log.lineCount;

  return (
    <Panel
      title="Output"
      lines={lines}
      note={lines > 0 && `${count(lines, 'line')}${attempt.output_truncated ? ', the middle left out' : ''}`}
      className={className}
      tools={
        lines > 0 && (
          <>
            <LogSearch
              query={query}
              onQuery={(next) => {
                setQuery(next);
                setChosen(0);
              }}
              found={query === '' ? '' : foundText(at, found)}
              onStep={(step) => setChosen(found === 0 ? 0 : (at + step + found) % found)}
            />
            <CopyButton name="Copy output" label="Copy" text={() => withoutEscapes(output)} />
            <Button
              look="quiet"
              aria-label="Download output"
              onClick={() => download(`output-${attempt.attempt}.txt`, new Blob([output]))}
            >
              <DownloadIcon /> <span className="hidden sm:inline">Download</span>
            </Button>
          </>
        )
      }
    >
      {lines > 0 ? (
        <LogView
          key={attempt.attempt}
          log={log}
          output={output}
          query={searched}
          matches={matches}
          chosen={at}
        />
      ) : (
        <Nothing>{whyEmpty(attempt)}</Nothing>
      )}
    </Panel>
  );
}

function whyEmpty({ status, execution_time, finished_at, without_output }: AttemptState): string {
  if (without_output) return 'It ran without output: it printed nothing and left no file.';
  if (status === 'running') return 'Nothing has been printed yet.';
  if (!finished_at) return 'What the program prints is shown here.';
  return execution_time === null ? 'This code was not run.' : 'The program printed nothing.';
}

function foundText(at: number, found: number): string {
  if (found === 0) return 'not found';
  return `${at + 1} of ${found === MAX_MATCHES ? 'many' : found}`;
}

interface LogSearchProps {
  query: string;
  onQuery: (query: string) => void;
  found: string;
  onStep: (step: 1 | -1) => void;
}

function LogSearch({ query, onQuery, found, onStep }: LogSearchProps) {
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Enter') onStep(event.shiftKey ? -1 : 1);
    else if (event.key === 'Escape' && query !== '') onQuery('');
    else return;
    event.preventDefault();
  };
  return (
    <search className="flex items-center gap-1.5 rounded-md border border-control px-2 focus-within:outline-2 focus-within:outline-accent">
      <SearchIcon className="text-muted" />
      <input
        type="text"
        aria-label="Search in the output"
        placeholder="Search"
        title="Enter: next, Shift+Enter: previous"
        value={query}
        onChange={(event) => onQuery(event.target.value)}
        onKeyDown={onKeyDown}
        className="h-7 w-24 bg-transparent outline-none placeholder:text-muted sm:w-32"
      />
      <span role="status" className="whitespace-nowrap text-muted">
        {found}
      </span>
    </search>
  );
}
