import { type KeyboardEvent, type Ref, useId } from 'react';
import type { Health } from '../api/client.ts';
import { type Draft, EXAMPLES, problemOf } from '../execution/draft.ts';
import { Button, Notice } from './controls.tsx';
import { PlayIcon, SpinnerIcon } from './icons.tsx';
import { RunSettings } from './RunSettings.tsx';

export interface PromptSidebarProps {
  draft: Draft;
  onChange: (draft: Draft) => void;
  onRun: () => void;
  /** The request is on its way. */
  starting: boolean;
  /** Why the last request did not start anything. */
  error: Error | null;
  defaults: Health['defaults'] | null;
  /** Why the service takes no task now. */
  serviceProblem: string | null;
  promptRef: Ref<HTMLTextAreaElement>;
}

const isMac = /Mac|iPhone|iPad/.test(navigator.userAgent);

/** Where a task is put: the prompt, settings, the button that runs it, and examples. */
export function PromptSidebar(props: PromptSidebarProps) {
  const { draft, onChange, onRun, starting, error, defaults, serviceProblem, promptRef } = props;
  const promptId = useId();
  const problem = problemOf(draft);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (!starting && !problem) onRun();
  };
  return (
    <section aria-label="Task" className="flex flex-col gap-3 p-4" onKeyDown={onKeyDown}>
      <label htmlFor={promptId} className="font-semibold">
        What should the program do?
      </label>
      <textarea
        ref={promptRef}
        id={promptId}
        value={draft.prompt}
        onChange={(event) => onChange({ ...draft, prompt: event.target.value })}
        rows={5}
        placeholder="For example: read these numbers and plot their distribution …"
        className="max-h-96 min-h-24 resize-y rounded-md border border-control bg-inset p-2 placeholder:text-muted"
      />
      <RunSettings draft={draft} onChange={onChange} defaults={defaults} />
      <div className="flex flex-wrap items-center gap-3">
        <Button look="primary" onClick={onRun} disabled={starting || problem !== null} className="px-4">
          {starting ? <SpinnerIcon /> : <PlayIcon />}
          Run
        </Button>
        <span role="status" className="text-fail text-xs empty:hidden">
          {draft.prompt.trim() !== '' && problem}
        </span>
        {(draft.prompt.trim() === '' || !problem) && (
          <span className="text-muted text-xs pointer-coarse:hidden">
            <kbd>{isMac ? '⌘' : 'Ctrl'}+Enter</kbd> runs, <kbd>Esc</kbd> cancels
          </span>
        )}
      </div>
      {serviceProblem && !error && <Notice kind="warning">{serviceProblem}</Notice>}
      {error && <Notice kind="error">{error.message}</Notice>}
      <div>
        <h2 className="mb-1 text-muted text-xs">Examples</h2>
        <ul className="-mx-2 flex flex-col">
          {EXAMPLES.map((example) => (
            <li key={example}>
              <button
                type="button"
                onClick={() => onChange({ ...draft, prompt: example })}
                className="w-full rounded-md px-2 py-1.5 text-left text-accent -outline-offset-2 hover:bg-hover"
              >
                {example}
              </button>
            </li>
          ))}
        </ul>
      </div>
    </section>
  );
}
