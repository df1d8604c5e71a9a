/** Comma-separated values (RFC 4180), as far as they are shown. */

export interface Table {
  header: string[];
  rows: string[][];
  /** There are more rows, or more columns, than these. */
  cut: boolean;
}

const MAX_ROWS = 500;
const MAX_COLUMNS = 50;
/** Characters of a value that are shown. */
const MAX_VALUE = 500;

export function parseCsv(text: string): Table {
  const separator = guessSeparator(text);
  const records: string[][] = [];
  let cut = false;
  let record: string[] = [];
  let position = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  while (position < text.length) {
    if (records.length > MAX_ROWS) {
      cut = true;
      break;
    }
    const [value, end] = readValue(text, position, separator);
    if (record.length < MAX_COLUMNS) record.push(value.slice(0, MAX_VALUE));
    else cut = true;
    position = end;
    if (text[position] === separator) {
      position++;
      if (position < text.length) continue;
      record.push('');
    }
    if (text[position] === '\r') position++;
    if (text[position] === '\n') position++;
    records.push(record);
    record = [];
  }
  const [header = [], ...rows] = records;
  return { header, rows, cut };
}

function guessSeparator(text: string): string {
  const firstLine = text.slice(0, 10_000).split('\n', 1)[0] ?? '';
  const count = (separator: string) => firstLine.split(separator).length;
  return [',', ';', '\t'].reduce((best, one) => (count(one) > count(best) ? one : best));
}

/** A value, and where it ends. */
function readValue(text: string, start: number, separator: string): [value: string, end: number] {
  if (text[start] !== '"') return readBare(text, start, separator);
  let value = '';
  let position = start + 1;
  for (;;) {
    const quote = text.indexOf('"', position);
    if (quote < 0) return [value + text.slice(position), text.length];
    value += text.slice(position, quote);
    position = quote + 1;
    if (text[position] !== '"') break;
    value += '"';
    position++;
  }
  // What follows the closing quote wrongly is kept as it is.
  const [rest, end] = readBare(text, position, separator);
  return [value + rest, end];
}

function readBare(text: string, start: number, separator: string): [value: string, end: number] {
  let end = start;
  while (end < text.length && text[end] !== separator && text[end] !== '\n' && text[end] !== '\r') end++;
  return [text.slice(start, end), end];
}
