import { lazy, Suspense, useDeferredValue, useId, useMemo, useState } from 'react';
import type { AttemptState } from '../execution/reduce.ts';
import { count } from '../text/format.ts';
import { download } from '../text/save.ts';
import { CopyButton } from './CopyButton.tsx';
import { Button } from './controls.tsx';
import { ErrorBoundary } from './ErrorBoundary.tsx';
import { DownloadIcon } from './icons.tsx';
import { Nothing, Panel } from './Panel.tsx';
import { PlainCode } from './PlainCode.tsx';

const CodeEditor = lazy(() => import('../editor/CodeEditor.tsx'));
const CodeDiff = lazy(() => import('../editor/CodeDiff.tsx'));

interface CodeViewerProps {
  attempt: AttemptState;
  /** All attempts, to compare with. */
  attempts: AttemptState[];
}

/** The code of an attempt, as it is written and after, alone or compared with another attempt's. */
export function CodeViewer({ attempt, attempts }: CodeViewerProps) {
  const [comparedWith, setComparedWith] = useState<number | null>(null);
  const comparable = attempts.filter((one) => one !== attempt && one.code !== null);
  const other = comparable.find((one) => one.attempt === comparedWith);
  const { code } = attempt;
  const [before, after] = other && other.attempt < attempt.attempt ? [other, attempt] : [attempt, other];
  return (
    <Panel
      title="Code"
      lines={code === null ? 0 : linesOf(code)}
      note={after ? `attempt ${before.attempt} → attempt ${after.attempt}` : noteOf(attempt)}
      tools={
        code !== null && (
          <>
            {comparable.length > 0 && (
              <CompareChoice attempts={comparable} chosen={other?.attempt} onChoose={setComparedWith} />
            )}
            <CopyButton name="Copy code" label="Copy" text={() => code} />
            <Button
              look="quiet"
              aria-label="Download code"
              onClick={() => download(`attempt-${attempt.attempt}.py`, new Blob([code]))}
            >
              <DownloadIcon /> <span className="hidden sm:inline">Download</span>
            </Button>
          </>
        )
      }
    >
      {code === null ? (
        <Nothing>
          {attempt.finished_at ? 'This attempt has no code.' : 'The model has not written anything yet.'}
        </Nothing>
      ) : (
        <div className="min-h-0 flex-1 bg-inset">
          {after ? (
            <Comparison before={before} after={after} />
          ) : (
            <Code key={attempt.attempt} attempt={attempt} code={code} />
          )}
        </div>
      )}
    </Panel>
  );
}

const linesOf = (code: string) => code.split('\n').length;

function noteOf({ attempt, status, code }: AttemptState): string {
  if (status === 'generating') return 'being written';
  const lines = code === null ? '' : `, ${count(linesOf(code), 'line')}`;
  return `attempt ${attempt}${status === 'succeeded' ? ', final' : ''}${lines}`;
}

function CompareChoice({
  attempts,
  chosen,
  onChoose,
}: {
  attempts: AttemptState[];
  chosen: number | undefined;
  onChoose: (attempt: number | null) => void;
}) {
  const id = useId();
  return (
    <span className="flex items-center gap-1.5 text-muted">
      <label htmlFor={id}>Compare with</label>
      <select
        id={id}
        value={chosen ?? ''}
        onChange={(event) => onChoose(Number(event.target.value) || null)}
        className="min-h-7 rounded-md border border-control bg-panel px-1.5 text-text"
      >
        <option value="">nothing</option>
        {attempts.map(({ attempt }) => (
          <option key={attempt} value={attempt}>
            attempt {attempt}
          </option>
        ))}
      </select>
    </span>
  );
}

function Code({ attempt, code }: { attempt: AttemptState; code: string }) {
  const { error_line: line, error } = attempt;
  const failure = useMemo(() => (line ? { line, message: error ?? '' } : null), [line, error]);
  // Typing in the prompt goes before showing what streams in.
  const shown = useDeferredValue(code);
  const plain = <PlainCode code={shown} failingLine={line} />;
  return (
    <ErrorBoundary fallback={plain}>
      <Suspense fallback={plain}>
        <CodeEditor label={`Code of attempt ${attempt.attempt}`} code={shown} failure={failure} />
      </Suspense>
    </ErrorBoundary>
  );
}

function Comparison({ before, after }: { before: AttemptState; after: AttemptState }) {
  const shown = { before: useDeferredValue(before.code ?? ''), after: useDeferredValue(after.code ?? '') };
  return (
    <ErrorBoundary
      fallback={<Nothing>The comparison could not be loaded. Reload the page to try again.</Nothing>}
    >
      <Suspense fallback={<Nothing>Loading the comparison …</Nothing>}>
        <CodeDiff label={`Attempts ${before.attempt} and ${after.attempt}`} {...shown} />
      </Suspense>
    </ErrorBoundary>
  );
}
