/** The rows of a log: its lines, wrapped at a number of columns. */
import { columnsOf, type LogText, type Span } from './log-text.ts';

export interface Row {
  line: number;
  /** Which part of the line, from 0. */
  part: number;
}

export class LogRows {
  /** Number of rows up to and with each line. */
  private ends: number[] = [];
  private columns = 0;
  private generation = 0;

  get count(): number {
    return this.ends.at(-1) ?? 0;
  }

  /** Brings the rows up to date with a log. */
  update(log: LogText, columns: number): void {
    const goesOn = columns === this.columns && log.generation === this.generation;
    const start = goesOn ? Math.max(0, this.ends.length - 1) : 0;
    this.columns = columns;
    this.generation = log.generation;
    this.ends.length = start;
    let end = this.count;
    for (let line = start; line < log.lineCount; line++) {
      end += Math.max(1, Math.ceil(log.width(line) / columns));
      this.ends.push(end);
    }
  }

  at(row: number): Row {
    let low = 0;
    let high = this.ends.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.ends[middle] ?? 0) > row) high = middle;
      else low = middle + 1;
    }
    return { line: low, part: row - (this.ends[low - 1] ?? 0) };
  }

  /** The row that shows column `column` of a line. */
  rowOf(line: number, column: number): number {
    const part = Math.floor(column / this.columns);
    return Math.min((this.ends[line - 1] ?? 0) + part, (this.ends[line] ?? 1) - 1);
  }
}

/** What of a line's spans is in the columns from `from` up to `to`. */
export function columnsBetween<T extends Span>(spans: T[], from: number, to: number): T[] {
  const inside: T[] = [];
  let column = 0;
  for (const span of spans) {
    const width = columnsOf(span.text);
    if (column + width > from && column < to) {
      inside.push({ ...span, text: cut(span.text, from - column, to - column) });
    }
    column += width;
    if (column >= to) break;
  }
  return inside;
}

function cut(text: string, from: number, to: number): string {
  if (columnsOf(text) === text.length) return text.slice(Math.max(0, from), to);
  let column = 0;
  let inside = '';
  for (const character of text) {
    if (column >= from && column < to) inside += character;
    column += columnsOf(character);
  }
  return inside;
}
