import { whyFailed } from '../execution/explain.ts';
import type { AttemptState } from '../execution/reduce.ts';
import { bytes } from '../text/format.ts';
import { AlertIcon } from './icons.tsx';
import { Scrollable } from './Scrollable.tsx';

/** Why an attempt failed: a sentence, and on demand all that is known. */
export function Failure({ attempt, timeout }: { attempt: AttemptState; timeout: number }) {
  const { error, traceback, violations } = attempt;
  return (
    <section aria-label="Why it failed" className="rounded-lg bg-fail-soft px-3 py-2">
      <p className="flex items-start gap-2">
        <AlertIcon className="mt-0.5 text-fail" />
        <span className="line-clamp-4 min-w-0 break-words">{whyFailed(attempt, timeout)}</span>
      </p>
      <details className="mt-1 ml-6 text-xs">
        <summary className="w-fit rounded text-muted hover:text-text">Details</summary>
        <Scrollable aria-label="Details" className="mt-1 flex max-h-72 flex-col gap-2">
          {violations.length > 0 && (
            <ul className="flex list-disc flex-col gap-1 pl-4">
              {violations.map(({ line, rule, message }) => (
                <li key={`${line} ${rule} ${message}`} className="break-words">
                  Line {line}: {message} <span className="font-mono text-muted">({rule})</span>
                </li>
              ))}
            </ul>
          )}
          <pre className="whitespace-pre-wrap break-words font-mono">{traceback ?? error}</pre>
          {processFacts(attempt) && <p className="text-muted">{processFacts(attempt)}</p>}
        </Scrollable>
      </details>
    </section>
  );
}

/** How its process ended and what it took. */
function processFacts({ exit_code, signal, peak_memory_bytes }: AttemptState): string {
  const facts = [
    exit_code !== null && `exit code ${exit_code}`,
    signal !== null && `ended by ${signal}`,
    peak_memory_bytes !== null && `at most ${bytes(peak_memory_bytes)} of memory`,
  ].filter(Boolean);
  return facts.length > 0 ? `The process: ${facts.join(', ')}.` : '';
}
