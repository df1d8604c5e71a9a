import { useCallback, useEffect, useRef, useState } from 'react';
import type { ExecuteRequest, Policy, ResumeRequest } from '../../../functions/execution/execution.ts';
import type { Client, Health } from '../api/client.ts';
import type { Seen } from '../api/seen.ts';
import { type Draft, EMPTY_DRAFT, toDraft, toRepeat, toRequest } from '../execution/draft.ts';
import { type ExecutionState, isFinal } from '../execution/reduce.ts';
import { useExecution } from '../hooks/use-execution.ts';
import { useHistory } from '../hooks/use-history.ts';
import { executionPath, navigate, useRoute } from '../hooks/use-route.ts';
import { useStored } from '../hooks/use-stored.ts';
import { Button, Link, Notice } from './controls.tsx';
import { DemoBanner } from './DemoBanner.tsx';
import { ExecutionView } from './ExecutionView.tsx';
import { Header } from './Header.tsx';
import { HistoryList } from './HistoryList.tsx';
import { Nothing } from './Panel.tsx';
import { PromptSidebar } from './PromptSidebar.tsx';
import { StatusBar } from './StatusBar.tsx';
import { Welcome } from './Welcome.tsx';

interface WorkspaceProps {
  client: Client;
  seen: Seen;
  /** null while the service does not answer. */
  health: Health | null;
  onSignOut?: () => void;
}

/** The page of someone who may use the service. */
export function Workspace({ client, seen, health, onSignOut }: WorkspaceProps) {
  const route = useRoute();
  const id = route.page === 'execution' ? route.id : null;
  const [draft, setDraft] = useStored<Draft>('draft', EMPTY_DRAFT, sessionStorage);
  const [starting, setStarting] = useState(false);
  const [startError, setStartError] = useState<Error | null>(null);
  /** Why what was asked of the shown execution did not happen. */
  const [actionError, setActionError] = useState<Error | null>(null);
  const followed = useExecution(client, seen, id);
  const { execution, error } = followed;
  const history = useHistory(client, seen);
  const { changed } = history;
  const promptBox = useRef<HTMLTextAreaElement>(null);
  const main = useRef<HTMLElement>(null);
  const running = execution !== null && !isFinal(execution.status);

  const run = useCallback(
    async (request: ExecuteRequest | ResumeRequest, setError: (error: Error | null) => void) => {
      setStarting(true);
      setError(null);
      try {
        const { execution_id } = await client.execute(request);
        navigate(executionPath(execution_id));
        changed();
      } catch (failure) {
        setError(failure as Error);
      } finally {
        setStarting(false);
      }
    },
    [client, changed],
  );
  const repeat = useCallback(
    (one: ExecutionState, policy?: Policy) => void run(toRepeat(one, policy), setActionError),
    [run],
  );

  const edit = useCallback(
    (one: ExecutionState) => {
      setDraft(toDraft(one));
      // On a narrow page the prompt is on the start page.
      if (promptBox.current?.offsetParent === null) navigate('/');
      requestAnimationFrame(() => promptBox.current?.focus());
    },
    [setDraft],
  );

  const cancel = useCallback(async () => {
    if (!id) return;
    setActionError(null);
    try {
      await client.cancel(id);
    } catch (failure) {
      setActionError(failure as Error);
    }
  }, [client, id]);
  useCancelKey(running, cancel);

  // It is of the execution that was shown before.
  useEffect(() => setActionError(null), [id]);

  const status = execution?.status;
  useEffect(() => {
    if (status && isFinal(status)) changed();
  }, [status, changed]);

  return (
    <>
      <Button
        className="sr-only focus:not-sr-only focus:absolute focus:z-10"
        onClick={() => main.current?.focus()}
      >
        Skip to the execution
      </Button>
      <Header
        health={health}
        isolation={execution?.isolation ?? health?.isolation ?? null}
        away={id !== null}
        onSignOut={onSignOut}
      />
      {health?.model.demo && <DemoBanner />}
      <div className="grid min-h-0 flex-1 max-lg:content-start lg:grid-cols-[21rem_minmax(0,1fr)] xl:grid-cols-[24rem_minmax(0,1fr)]">
        <aside
          aria-label="Task and history"
          className={`border-line bg-panel lg:block lg:overflow-y-auto lg:border-r ${id ? 'hidden' : ''}`}
        >
          <PromptSidebar
            draft={draft}
            onChange={setDraft}
            onRun={() => void run(toRequest(draft), setStartError)}
            starting={starting}
            error={startError}
            defaults={health?.defaults ?? null}
            serviceProblem={health?.problem ?? health?.model.problem ?? null}
            promptRef={promptBox}
          />
          <HistoryList history={history} shown={id} />
        </aside>
        <main
          ref={main}
          tabIndex={-1}
          className={`flex min-w-0 flex-col outline-none lg:order-none lg:overflow-y-auto ${id ? '' : 'order-first'}`}
        >
          {actionError && (
            <div className="px-4 pt-4">
              <Notice kind="error">{actionError.message}</Notice>
            </div>
          )}
          {error && (
            <div className="flex flex-col gap-3 p-4">
              <h1 className="font-semibold text-base">This execution cannot be shown</h1>
              <Notice kind="error">{error.message}</Notice>
              <Link href="/" className="w-fit rounded text-accent underline">
                To a new task and the history
              </Link>
            </div>
          )}
          {!id && <Welcome />}
          {execution && (
            <ExecutionView
              key={execution.execution_id}
              client={client}
              execution={execution}
              wanted={route.page === 'execution' ? route.attempt : null}
              starting={starting}
              onCancel={cancel}
              onRepeat={repeat}
              onEdit={edit}
            />
          )}
          {id && !execution && !error && (
            <Nothing>
              {followed.connection === 'away' ? 'The service does not answer. Trying again …' : 'Loading …'}
            </Nothing>
          )}
        </main>
      </div>
      <StatusBar followed={followed} />
    </>
  );
}

/** Esc cancels what runs, unless it has a meaning where it is pressed. */
function useCancelKey(running: boolean, cancel: () => void) {
  useEffect(() => {
    if (!running) return;
    const onKeyDown = (event: KeyboardEvent) => {
      const place = event.target instanceof Element ? event.target : document.body;
      if (event.key !== 'Escape' || event.defaultPrevented || event.isComposing) return;
      if (place.closest('dialog, select, .monaco-editor') || document.querySelector(':popover-open')) return;
      if (place instanceof HTMLInputElement && place.type === 'search' && place.value !== '') return;
      cancel();
    };
    document.addEventListener('keydown', onKeyDown);
    return () => document.removeEventListener('keydown', onKeyDown);
  }, [running, cancel]);
}
