/** Finding text in a log. */
import { columnsOf, type LogText, type Span } from './log-text.ts';

export interface Match {
  line: number;
  /** Column where it starts. */
  column: number;
  /** Which of the matches of its line, from 0. */
  nth: number;
}

export interface FoundSpan extends Span {
  /** Which match of the line this is a part of; null if of none. */
  match: number | null;
}

/** Matches that are counted; a reader who has more will narrow the search. */
export const MAX_MATCHES = 9_999;

/** A search in a log that grows: what is as it was is not searched again. */
export class LogSearch {
  private matches: Match[] = [];
  private query = '';
  private generation = 0;
  private lines = 0;

  /** Where `query` occurs in the log as it is now. */
  update(log: LogText, query: string): Match[] {
    const goesOn = query === this.query && log.generation === this.generation;
    const start = goesOn ? Math.max(0, this.lines - 1) : 0;
    const known = this.matches.filter(({ line }) => line < start);
    this.query = query;
    this.generation = log.generation;
    this.lines = log.lineCount;
    this.matches = search(log, query, start, known);
    return this.matches;
  }
}

/** Where `query` occurs, whatever its case, up to MAX_MATCHES; `known` are those in the lines before `start`. */
export function search(log: LogText, query: string, start = 0, known: Match[] = []): Match[] {
  const matches = [...known];
  const wanted = query.toLowerCase();
  if (wanted === '' || matches.length === MAX_MATCHES) return matches;
  for (let line = start; line < log.lineCount; line++) {
    const text = log.plain(line);
    for (const [nth, at] of positions(text, wanted).entries()) {
      matches.push({ line, column: columnsOf(text.slice(0, at)), nth });
      if (matches.length === MAX_MATCHES) return matches;
    }
  }
  return matches;
}

/** A line's spans, divided where matches begin and end. */
export function withMatches(spans: Span[], query: string): FoundSpan[] {
  const wanted = query.toLowerCase();
  const text = spans.map((span) => span.text).join('');
  const starts = wanted === '' ? [] : positions(text, wanted);
  const divided: FoundSpan[] = [];
  let offset = 0;
  for (const { text: part, look } of spans) {
    const end = offset + part.length;
    let from = offset;
    for (const [match, start] of starts.entries()) {
      const [first, last] = [Math.max(start, from), Math.min(start + wanted.length, end)];
      if (first >= last) continue;
      if (first > from) divided.push({ text: text.slice(from, first), look, match: null });
      divided.push({ text: text.slice(first, last), look, match });
      from = last;
    }
    if (from < end) divided.push({ text: text.slice(from, end), look, match: null });
    offset = end;
  }
  return divided;
}

function positions(text: string, wanted: string): number[] {
  const lower = text.toLowerCase();
  // Of a few characters the lower case is longer; then positions would be off.
  const source = lower.length === text.length ? lower : text;
  const found: number[] = [];
  for (let at = source.indexOf(wanted); at >= 0; at = source.indexOf(wanted, at + wanted.length))
    found.push(at);
  return found;
}
