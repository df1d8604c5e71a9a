import { memo, useEffect, useEffectEvent, useLayoutEffect, useRef, useState } from 'react';
import { columnsBetween, LogRows } from '../text/log-rows.ts';
import { type FoundSpan, type Match, withMatches } from '../text/log-search.ts';
import type { LogText, Look } from '../text/log-text.ts';
import { Scrollable } from './Scrollable.tsx';

const ROW_HEIGHT = 20;
/** Rows above and below the visible ones that are there too, for a quick scroll. */
const SPARE_ROWS = 12;
/** Browsers cannot make an element higher than some 16 million pixels; a longer log scrolls in larger steps. */
const MAX_HEIGHT = 12_000_000;
/** Before anything is measured. */
const FIRST_SIZE = { columns: 100, height: 400 };

interface LogViewProps {
  log: LogText;
  /** What the log holds: it is one object that changes. */
  output: string;
  query: string;
  matches: Match[];
  /** Which of the matches to bring into view. */
  chosen: number;
}

/** A log of any length: only the rows in view exist. Stays at its end while it grows, unless scrolled away. */
export const LogView = memo(function LogView({ log, output, query, matches, chosen }: LogViewProps) {
  const viewport = useRef<HTMLElement>(null);
  const ruler = useRef<HTMLSpanElement>(null);
  const rows = useRef(new LogRows());
  const atEnd = useRef(true);
  /** Where the view was put to show a match. */
  const broughtTo = useRef(-1);
  const [size, setSize] = useState(FIRST_SIZE);
  const [scrollTop, setScrollTop] = useState(0);
  const current = matches[chosen] ?? null;

  rows.current.update(log, size.columns);
  const { count } = rows.current;
  const fullHeight = count * ROW_HEIGHT;
  const height = Math.min(fullHeight, MAX_HEIGHT);
  const range = { scroll: Math.max(1, height - size.height), rows: Math.max(0, fullHeight - size.height) };
  const offset = (Math.min(scrollTop, range.scroll) / range.scroll) * range.rows;
  const first = Math.max(0, Math.floor(offset / ROW_HEIGHT) - SPARE_ROWS);
  const last = Math.min(count, Math.ceil((offset + size.height) / ROW_HEIGHT) + SPARE_ROWS);

  useEffect(() => {
    const [view, characters] = [viewport.current, ruler.current];
    if (!view || !characters || typeof ResizeObserver === 'undefined') return;
    const observer = new ResizeObserver(() => {
      const width = characters.getBoundingClientRect().width / (characters.textContent?.length ?? 1);
      const columns = Math.max(20, Math.floor((view.clientWidth - 32) / width));
      setSize({ columns, height: view.clientHeight });
    });
    observer.observe(view);
    return () => observer.disconnect();
  }, []);

  useLayoutEffect(() => {
    if (atEnd.current && viewport.current) viewport.current.scrollTop = height;
  }, [output, height]);

  const bringIntoView = useEffectEvent((match: Match | null) => {
    const view = viewport.current;
    if (!match || !view) return;
    atEnd.current = false;
    const row = rows.current.rowOf(match.line, match.column);
    const wanted = Math.max(0, row * ROW_HEIGHT - size.height / 3);
    view.scrollTop = range.rows === 0 ? 0 : (wanted / range.rows) * range.scroll;
    broughtTo.current = view.scrollTop;
  });
  const isFound = current !== null;
  const isMeasured = size !== FIRST_SIZE;
  // Not when the log grows or the view changes: the reader may have scrolled on.
  useEffect(() => bringIntoView(current), [query, chosen, isFound, isMeasured]);

  const onScroll = () => {
    const view = viewport.current;
    if (!view) return;
    // A match near the end is to stay in view, so being brought there is not going to the end.
    atEnd.current =
      view.scrollTop !== broughtTo.current &&
      view.scrollTop + view.clientHeight >= view.scrollHeight - ROW_HEIGHT;
    setScrollTop(view.scrollTop);
  };

  return (
    <Scrollable
      ref={viewport}
      aria-label="Printed text"
      onScroll={onScroll}
      className="relative min-h-0 flex-1 bg-inset px-4 font-mono text-[13px]"
    >
      <span ref={ruler} className="invisible absolute" aria-hidden="true">
        {'0'.repeat(50)}
      </span>
      <div style={{ height }} className="my-2">
        <div style={{ transform: `translateY(${topOf(first)}px)` }}>
          {Array.from({ length: Math.max(0, last - first) }, (_, index) => (
            <LogRow
              key={first + index}
              spans={spansOf(first + index)}
              current={isCurrentLine(first + index) ? (current?.nth ?? null) : null}
            />
          ))}
        </div>
      </div>
    </Scrollable>
  );

  /** Where a row is drawn, in pixels of the scrolled element. */
  function topOf(row: number): number {
    return row * ROW_HEIGHT - offset + Math.min(scrollTop, range.scroll);
  }

  function spansOf(row: number): FoundSpan[] {
    const { line, part } = rows.current.at(row);
    const spans = withMatches(log.spans(line), query);
    return columnsBetween(spans, part * size.columns, (part + 1) * size.columns);
  }

  function isCurrentLine(row: number): boolean {
    return current !== null && rows.current.at(row).line === current.line;
  }
});

function LogRow({ spans, current }: { spans: FoundSpan[]; current: number | null }) {
  return (
    <div className="log-row">
      {spans.map(({ text, look, match }, index) => {
        const Part = match === null ? 'span' : 'mark';
        return (
          <Part
            key={`${index}`}
            className={classesOf(look)}
            data-current={match !== null && match === current ? true : undefined}
          >
            {text}
          </Part>
        );
      })}
    </div>
  );
}

function classesOf({ color, background, bold, dim, italic, underline }: Look): string | undefined {
  const classes = [
    color !== null && `ansi-${color}`,
    background !== null && `ansi-on-${background % 8}`,
    bold && 'font-bold',
    dim && 'ansi-dim',
    italic && 'italic',
    underline && 'underline',
  ].filter(Boolean);
  return classes.length === 0 ? undefined : classes.join(' ');
}
