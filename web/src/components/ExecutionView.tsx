import { memo, useEffect, useRef, useState } from 'react';
import { keptAttempts } from '../../../functions/execution/attempts.ts';
import type { Policy } from '../../../functions/execution/execution.ts';
import type { Client } from '../api/client.ts';
import { isPermittedByStandard } from '../execution/draft.ts';
import { STATUS_NAMES } from '../execution/explain.ts';
import { type ExecutionState, isFinal } from '../execution/reduce.ts';
import { executionPath } from '../hooks/use-route.ts';
import { count, duration } from '../text/format.ts';
import { ArtifactGallery } from './ArtifactGallery.tsx';
import { AttemptTimeline } from './AttemptTimeline.tsx';
import { CodeViewer } from './CodeViewer.tsx';
import { CopyButton } from './CopyButton.tsx';
import { Button, Link, Notice } from './controls.tsx';
import { DownloadButton } from './DownloadButton.tsx';
import { ExecutionLog } from './ExecutionLog.tsx';
import { Failure } from './Failure.tsx';
import { EditIcon, RepeatIcon, ShareIcon, StopIcon } from './icons.tsx';
import { Nothing } from './Panel.tsx';
import { StatusMark } from './StatusMark.tsx';

interface ExecutionViewProps {
  client: Client;
  execution: ExecutionState;
  /** The attempt asked for; null follows the latest. */
  wanted: number | null;
  /** A request to run is on its way. */
  starting: boolean;
  onCancel: () => void;
  /** Under another policy, if one is given. */
  onRepeat: (execution: ExecutionState, policy?: Policy) => void;
  onEdit: (execution: ExecutionState) => void;
}

/** One execution: its task and attempts, and the code, output and files of the attempt that is shown. */
export const ExecutionView = memo(function ExecutionView(props: ExecutionViewProps) {
  const { client, execution, wanted } = props;
  // What begins while one looks on keeps the height of its panels, also when it ends: nothing moves.
  const [isWatched] = useState(!isFinal(execution.status));
  const { results } = execution;
  const attempt = results.find((one) => one.attempt === wanted) ?? results.at(-1);
  const hasFiles = attempt !== undefined && attempt.artifacts.length + attempt.artifacts_skipped.length > 0;
  // An attempt that the next one replaces at once is not explained on the way, unless it was asked for.
  const explained = attempt?.status === 'failed' && (attempt.attempt === wanted || isFinal(execution.status));
  // An execution that failed before any attempt, or for another reason than its last attempt, says so itself.
  const ownError = execution.status === 'failed' && execution.error !== results.at(-1)?.error;
  return (
    <article className="flex flex-col gap-3 p-3 lg:min-h-full lg:p-4">
      <Title {...props} />
      {ownError && <Notice kind="warning">{execution.error}</Notice>}
      {attempt ? (
        <>
          <AttemptTimeline execution={execution} shown={attempt.attempt} />
          {explained && <Failure attempt={attempt} timeout={execution.timeout} />}
          {isPermittedByStandard(execution) && <StandardOffer {...props} />}
          <div
            className={`grid flex-1 grid-cols-[minmax(0,1fr)] gap-3 2xl:min-h-96 2xl:grid-cols-[3fr_2fr] 2xl:grid-rows-none ${hasFiles ? 'lg:min-h-[36rem] lg:grid-rows-2' : 'lg:min-h-[30rem] lg:grid-rows-[3fr_2fr]'} ${isWatched ? 'max-lg:[&_.fit-lines]:h-[max(9rem,40dvh)]' : ''}`}
          >
            <CodeViewer attempt={attempt} attempts={results} />
            <div className="flex min-h-0 min-w-0 flex-col gap-3 lg:flex-row 2xl:flex-col">
              <ExecutionLog attempt={attempt} className="lg:min-h-0 lg:min-w-0 lg:flex-1" />
              {hasFiles && (
                <ArtifactGallery
                  client={client}
                  execution={execution.execution_id}
                  attempt={attempt.attempt}
                  artifacts={attempt.artifacts}
                  skipped={attempt.artifacts_skipped}
                  className="lg:min-h-0 lg:flex-1"
                />
              )}
            </div>
          </div>
        </>
      ) : (
        <Nothing>{isFinal(execution.status) ? 'It ended before its first attempt.' : 'Starting …'}</Nothing>
      )}
    </article>
  );
});

/** Characters of a task up to which all of it is shown. */
const SHORT_TASK = 240;

function Title({ client, execution, wanted, starting, onCancel, onRepeat, onEdit }: ExecutionViewProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  const [whole, setWhole] = useState(false);
  const { execution_id, prompt, results, status } = execution;
  const kept = keptAttempts(execution, execution.results).length;
  const isLong = prompt.length > SHORT_TASK || prompt.split('\n').length > 3;

  useEffect(() => {
    // On a narrow page what had the focus is gone.
    if (document.activeElement === document.body) heading.current?.focus();
  }, []);

  useEffect(() => {
    const before = document.title;
    document.title = `${STATUS_NAMES[status]}: ${prompt.slice(0, 80)}`;
    return () => {
      document.title = before;
    };
  }, [status, prompt]);

  return (
    <header className="flex flex-wrap items-start gap-x-4 gap-y-2">
      <div className="min-w-0 flex-1 basis-72">
        <h1
          ref={heading}
          tabIndex={-1}
          className={`whitespace-pre-wrap break-words font-semibold text-base outline-none ${isLong && !whole ? 'line-clamp-3' : ''}`}
        >
          {prompt}
        </h1>
        {isLong && (
          <button type="button" className="rounded text-accent text-xs" onClick={() => setWhole(!whole)}>
            {whole ? 'Show less' : 'Show the whole task'}
          </button>
        )}
        <Facts execution={execution} />
      </div>
      <div className="flex flex-wrap gap-2">
        {isFinal(status) ? (
          <Button onClick={() => onRepeat(execution)} disabled={starting}>
            <RepeatIcon /> {kept > 0 ? `Run again from attempt ${kept + 1}` : 'Run again'}
          </Button>
        ) : (
          <Button onClick={onCancel}>
            <StopIcon className="text-fail" /> Cancel
          </Button>
        )}
        <Button onClick={() => onEdit(execution)}>
          <EditIcon /> Edit
        </Button>
        {/* From the start it has its room, so that nothing moves at the end. */}
        <div className={isFinal(status) && results.length > 0 ? 'flex gap-2' : 'invisible flex gap-2'}>
          <DownloadButton
            name="Download notebook"
            label="Notebook"
            fileName={`${fileStem(execution)}.ipynb`}
            read={() => client.notebook(execution_id)}
          />
          <DownloadButton
            name="Download ZIP of program, output and files"
            label="ZIP"
            fileName={`${fileStem(execution)}.zip`}
            read={() => client.archive(execution_id)}
          />
        </div>
        <CopyButton
          name="Copy link"
          text={() => location.origin + executionPath(execution_id, wanted ?? undefined)}
          Icon={ShareIcon}
        />
      </div>
    </header>
  );
}

/** What an execution's files are called when they are saved: the first words of its task. */
const fileStem = ({ prompt }: ExecutionState) =>
  prompt
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]+/gu, '-')
    .replaceAll(/^-|-$/g, '')
    .slice(0, 50) || 'execution';

/** The way on where the policy alone was in the way. */
const StandardOffer = ({ execution, starting, onRepeat }: ExecutionViewProps) => (
  <Notice kind="info">
    <span className="flex flex-wrap items-center gap-x-3 gap-y-2">
      Only the policy strict refused the last program: standard would run it, in the same sandbox.
      <Button onClick={() => onRepeat(execution, 'standard')} disabled={starting}>
        <RepeatIcon /> Run again under standard
      </Button>
    </span>
  </Notice>
);

/** Status, time, tokens and settings in a line. */
function Facts({ execution }: { execution: ExecutionState }) {
  const { status, attempts, total_time, usage, model, policy, tests, resumes } = execution;
  const facts = [
    attempts > 0 && count(attempts, 'attempt'),
    total_time !== null && duration(total_time),
    usage && count(usage.total_tokens, 'token'),
    `model ${model}`,
    `policy ${policy}`,
    tests && 'with tests',
  ].filter(Boolean);
  return (
    // Where it takes two lines in the end, it has the room of both from the start.
    <p className="mt-1 flex flex-wrap content-start items-center gap-x-3 text-muted text-xs max-xl:min-h-8">
      <strong className="flex items-center gap-1.5 font-semibold text-text">
        <StatusMark status={status} /> {STATUS_NAMES[status]}
      </strong>
      {facts.map((fact) => (
        <span key={String(fact)}>{fact}</span>
      ))}
      {resumes && (
        <Link className="rounded text-accent" href={executionPath(resumes)}>
          goes on from an earlier run
        </Link>
      )}
    </p>
  );
}
