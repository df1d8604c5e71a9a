import { lazy, type ReactNode, type Ref, Suspense, useId, useRef, useState } from 'react';
import type { Policy } from '../../../functions/execution/execution.ts';
import type { Health } from '../api/client.ts';
import { type Draft, LIMITS } from '../execution/draft.ts';
import { ErrorBoundary } from './ErrorBoundary.tsx';
import { ChevronIcon } from './icons.tsx';

const CodeEditor = lazy(() => import('../editor/CodeEditor.tsx'));

interface RunSettingsProps {
  draft: Draft;
  onChange: (draft: Draft) => void;
  /** What the service takes where nothing is set; null until it is known. */
  defaults: Health['defaults'] | null;
}

/** How a task is run: attempts, time limit, policy, tests. What is left empty is as the service has it. */
export function RunSettings({ draft, onChange, defaults }: RunSettingsProps) {
  const [open, setOpen] = useState(false);
  const editor = useRef<Focusable>(null);
  const changes = changesOf(draft);
  return (
    <details className="group" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className="flex w-fit list-none items-center gap-1 rounded text-muted hover:text-text [&::-webkit-details-marker]:hidden">
        <ChevronIcon className="group-open:rotate-90" />
        Settings
        {changes && <span className="text-xs">({changes})</span>}
      </summary>
      <div className="mt-2 grid grid-cols-2 gap-3">
        <Field label="Attempts at most">
          {(id) => (
            <NumberInput
              id={id}
              min={1}
              max={LIMITS.maxRetries}
              step={1}
              value={draft.maxRetries}
              placeholder={defaults?.max_retries}
              onChange={(maxRetries) => onChange({ ...draft, maxRetries })}
            />
          )}
        </Field>
        <Field label="Seconds a run may take">
          {(id) => (
            <NumberInput
              id={id}
              min={0}
              max={LIMITS.timeout}
              step="any"
              value={draft.timeout}
              placeholder={defaults?.timeout}
              onChange={(timeout) => onChange({ ...draft, timeout })}
            />
          )}
        </Field>
        <Field
          label="Policy"
          className="col-span-2"
          hint="What code may do before it is run at all. Strict also refuses os, sys, open, eval and the like; the sandbox confines both."
        >
          {(id) => (
            <select
              id={id}
              aria-describedby={`${id}-hint`}
              value={draft.policy ?? ''}
              onChange={(event) =>
                onChange({ ...draft, policy: (event.target.value || null) as Policy | null })
              }
              className="h-8 w-full rounded-md border border-control bg-panel px-1.5"
            >
              <option value="">as the service has it{defaults && ` (${defaults.policy})`}</option>
              <option value="strict">strict</option>
              <option value="standard">standard</option>
            </select>
          )}
        </Field>
        <Field
          label="Tests"
          onLabelClick={() => editor.current?.focus()}
          className="col-span-2"
          hint="Python that is run after the code: assertions, and functions named test_…, which are called. Only code that passes is a success."
        >
          {(id) => (
            <div className="h-40 overflow-hidden rounded-md border border-control focus-within:outline-2 focus-within:outline-accent">
              {open && (
                <Tests
                  ref={editor}
                  id={id}
                  tests={draft.tests}
                  onChange={(tests) => onChange({ ...draft, tests })}
                />
              )}
            </div>
          )}
        </Field>
      </div>
    </details>
  );
}

function changesOf({ maxRetries, timeout, policy, tests }: Draft): string {
  const changes = [
    maxRetries !== null && `${maxRetries} attempts`,
    timeout !== null && `${timeout} s`,
    policy,
    tests.trim() !== '' && 'tests',
  ];
  return changes.filter(Boolean).join(', ');
}

function Field({
  label,
  onLabelClick,
  hint,
  className = '',
  children,
}: {
  label: string;
  /** For what is no control of the browser's own, to which a label does not lead. */
  onLabelClick?: () => void;
  hint?: string;
  className?: string;
  children: (id: string) => ReactNode;
}) {
  const id = useId();
  return (
    <div className={className}>
      {/* biome-ignore lint/a11y/useKeyWithClickEvents: the keyboard reaches what is labelled by itself */}
      <label htmlFor={id} onClick={onLabelClick} className="mb-1 block">
        {label}
      </label>
      {children(id)}
      {hint && (
        <p id={`${id}-hint`} className="mt-1 text-muted text-xs">
          {hint}
        </p>
      )}
    </div>
  );
}

interface NumberInputProps {
  id: string;
  min: number;
  max: number;
  step: number | 'any';
  value: number | null;
  placeholder: number | undefined;
  onChange: (value: number | null) => void;
}

const NumberInput = ({ value, onChange, placeholder, ...rest }: NumberInputProps) => (
  <input
    type="number"
    inputMode="decimal"
    value={value ?? ''}
    placeholder={placeholder === undefined ? '' : `${placeholder}`}
    onChange={(event) => onChange(event.target.value === '' ? null : event.target.valueAsNumber)}
    className="h-8 w-full rounded-md border border-control bg-panel px-2 placeholder:text-muted invalid:border-fail"
    {...rest}
  />
);

interface Focusable {
  focus(): void;
}

interface TestsProps {
  ref: Ref<Focusable>;
  id: string;
  tests: string;
  onChange: (tests: string) => void;
}

function Tests({ ref, id, tests, onChange }: TestsProps) {
  const plain = (
    <textarea
      id={id}
      value={tests}
      onChange={(event) => onChange(event.target.value)}
      spellCheck={false}
      className="size-full resize-none bg-inset p-2 font-mono text-[13px] outline-none"
    />
  );
  return (
    <ErrorBoundary fallback={plain}>
      <Suspense fallback={plain}>
        <CodeEditor ref={ref} label="Tests" code={tests} onChange={onChange} />
      </Suspense>
    </ErrorBoundary>
  );
}
