import { memo } from 'react';
import { Scrollable } from './Scrollable.tsx';

/** Lines that are shown: the editor, which has no such limit, comes soon or is out of reach. */
const MAX_LINES = 3_000;

/** Code without the editor: shown until it has loaded, and where it cannot be loaded. */
export const PlainCode = memo(function PlainCode({
  code,
  failingLine,
}: {
  code: string;
  failingLine: number | null;
}) {
  const lines = code.split('\n').slice(0, MAX_LINES);
  return (
    <Scrollable aria-label="Code, plain" className="h-full bg-inset py-2">
      <ol className="w-max min-w-full font-mono text-[13px] leading-5">
        {lines.map((line, index) => (
          <li key={`${index + 1}`} className={`flex pr-4 ${index + 1 === failingLine ? 'bg-fail-soft' : ''}`}>
            <span className="w-14 shrink-0 select-none pr-4 text-right text-muted" aria-hidden="true">
              {index + 1}
            </span>
            <code className="whitespace-pre">{line || ' '}</code>
          </li>
        ))}
      </ol>
    </Scrollable>
  );
});
