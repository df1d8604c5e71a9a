/**
 * An execution told on a terminal or into a pipe, event by event.
 *
 * Lines that are ours begin at the left edge with ▸, ✓ or ✗. Code, output and all else that others wrote goes through
 * printable.ts, and so can neither look like them nor command the terminal.
 */
import { styleText } from 'node:util';
import type { ExecutionEvent } from '../functions/events/events.ts';
import type { Attempt } from '../functions/execution/execution.ts';
import { fold, inLine, Printable } from './printable.ts';
import { remainder } from './remainder.ts';

type Style = Parameters<typeof styleText>[0];
type OutputEvent = Extract<ExecutionEvent, { type: 'run.output' }>;

const CYAN = '\x1b[36m';
const COLUMNS = 80;

/** What was shown of an attempt. */
interface Shown {
  code: string;
  output: string;
  /** The run whose output is shown, and its chunks: the next one, and those that came before their turn. */
  run: number;
  nextChunk: number;
  early: Map<number, string>;
}

const nothingShown = (): Shown => ({ code: '', output: '', run: 1, nextChunk: 1, early: new Map() });

export class Transcript {
  readonly #out: NodeJS.WriteStream;
  /** Ours are for terminals; those in which a program prints go through a pipe as well. */
  readonly #isColoured: boolean;
  readonly #programColours: 'keep' | 'drop';
  /** What is being waited for, shown with the time it takes while nothing else is written. */
  #waiting: { text: string; since: number } | null = null;
  #ticker: NodeJS.Timeout | undefined;
  /** The code or output that is being written. */
  #block: { of: 'code' | 'output'; printable: Printable } | null = null;
  #attempt = 0;
  #shown = nothingShown();

  constructor(out: NodeJS.WriteStream = process.stdout, env: NodeJS.ProcessEnv = process.env) {
    this.#out = out;
    const isWanted = env.FORCE_COLOR ? !/^(0|false)$/.test(env.FORCE_COLOR) : !env.NO_COLOR;
    this.#isColoured = isWanted && (!!env.FORCE_COLOR || (out.isTTY === true && env.TERM !== 'dumb'));
    this.#programColours = this.#isColoured || (isWanted && !out.isTTY) ? 'keep' : 'drop';
  }

  /** An event, with the texts that it is too short for. */
  tell(event: ExecutionEvent): void {
    switch (event.type) {
      case 'attempt.started':
        // It starts over once a model server that was waited for answers; of that nobody need be told who saw nothing of it.
        if (event.attempt !== this.#attempt || this.#shown.code) {
          this.line();
          this.line(`▸ Attempt ${event.attempt} of ${event.total_attempts}`, 'bold');
        }
        this.#attempt = event.attempt;
        this.#shown = nothingShown();
        this.#wait('the model writes');
        break;
      case 'model.waiting':
        this.#wait(null);
        this.line(`▸ ${event.reason}, trying again in ${Math.ceil(event.seconds)} s`, 'dim');
        this.#wait('the model server is waited for');
        break;
      case 'code.delta':
        this.#shown.code += event.text;
        this.#show('code', event.text);
        break;
      case 'code.completed':
        if (event.code !== null) this.#showCode(event.code);
        this.#endBlock();
        this.#wait('checking, then running');
        break;
      case 'run.output':
        this.#showChunk(event);
        break;
      case 'attempt.finished':
        this.#finished(event.result);
        break;
      default:
        break;
    }
  }

  /** It waits for its turn; `place` is 1 for the next. */
  inLine(place: number): void {
    this.#wait(`waiting for its turn, number ${place} in line`);
  }

  /** A line of ours. */
  line(text = '', style?: Style): void {
    this.#endBlock();
    const safe = inLine(text);
    const folded = this.#out.isTTY ? fold(safe, this.#out.columns || COLUMNS) : safe;
    this.#out.write(
      `${style && this.#isColoured ? styleText(style, folded, { validateStream: false }) : folded}\n`,
    );
  }

  /** A command to be pasted into a shell: one line, however long. */
  command(text: string): void {
    this.#endBlock();
    this.#out.write(`${inLine(text)}\n`);
  }

  /** Stops showing that something is waited for. */
  end(): void {
    this.#endBlock();
    this.#wait(null);
  }

  #showCode(whole: string): void {
    const rest = remainder(this.#shown.code, whole);
    if (rest === null) this.line('▸ the program:', 'dim');
    this.#show('code', rest ?? whole);
  }

  /** Chunks may come late and twice, as the events of S3 that bring them. */
  #showChunk({ run, chunk, text }: OutputEvent): void {
    const shown = this.#shown;
    if (run < shown.run) return;
    if (run > shown.run) {
      if (shown.output) this.line('▸ the sandbox was lost, the program is run again:', 'dim');
      Object.assign(shown, { ...nothingShown(), code: shown.code, run });
    }
    if (chunk >= shown.nextChunk) shown.early.set(chunk, text);
    for (let next = shown.early.get(shown.nextChunk); next !== undefined; ) {
      shown.early.delete(shown.nextChunk);
      shown.nextChunk += 1;
      shown.output += next;
      this.#show('output', next);
      next = shown.early.get(shown.nextChunk);
    }
  }

  #finished(result: Attempt): void {
    const rest = remainder(this.#shown.output, result.output ?? this.#shown.output);
    if (rest === null) {
      this.line('▸ all of the output, from its beginning:', 'dim');
      this.#block = { of: 'output', printable: this.#printable('output') };
    }
    this.#show('output', rest ?? result.output ?? '');
    this.#endBlock();
    if (result.output_truncated)
      this.line('▸ the output was too long: its beginning and its end were kept', 'dim');
    if (result.success) {
      this.line(`✓ succeeded in ${Math.ceil((result.execution_time ?? 0) * 1000)} ms`, 'green');
    } else {
      const place = result.error_line ? ` (line ${result.error_line})` : '';
      this.line(`✗ ${result.error ?? result.status}${place}`, 'red');
    }
    if (result.without_output) this.line('▸ ran without output: it printed nothing and left no file');
    for (const { name, size } of result.artifacts) this.line(`▸ file: ${name} (${size} bytes)`);
    for (const { name, reason } of result.artifacts_skipped) this.line(`▸ left out: ${name} (${reason})`);
    this.#wait(null);
  }

  #show(of: 'code' | 'output', text: string): void {
    if (!text) return;
    if (this.#block?.of !== of) {
      if (of === 'output') this.line('▸ output:', 'dim');
      this.#endBlock();
      this.#block = { of, printable: this.#printable(of) };
    }
    this.#clearWaiting();
    this.#out.write(this.#block.printable.push(text));
  }

  #printable(of: 'code' | 'output'): Printable {
    const columns = this.#out.isTTY ? this.#out.columns || COLUMNS : undefined;
    if (of === 'output') return new Printable({ columns, colours: this.#programColours });
    return new Printable({ columns, colours: 'show', look: this.#isColoured ? CYAN : '' });
  }

  #endBlock(): void {
    this.#clearWaiting();
    const block = this.#block;
    this.#block = null;
    if (block) this.#out.write(block.printable.end());
  }

  #wait(text: string | null): void {
    this.#clearWaiting();
    clearInterval(this.#ticker);
    this.#waiting = text ? { text, since: performance.now() } : null;
    if (!text || !this.#out.isTTY) return;
    this.#ticker = setInterval(() => this.#showWaiting(), 200);
    this.#ticker.unref();
    this.#showWaiting();
  }

  get #isAtLineStart(): boolean {
    return !this.#block?.printable.isLineBegun;
  }

  #showWaiting(): void {
    if (!this.#waiting || !this.#isAtLineStart) return;
    const seconds = Math.floor((performance.now() - this.#waiting.since) / 1000);
    const text = `… ${this.#waiting.text} (${seconds} s)`;
    this.#out.write(`\r\x1b[K${this.#isColoured ? styleText('dim', text, { validateStream: false }) : text}`);
  }

  #clearWaiting(): void {
    if (this.#waiting && this.#isAtLineStart && this.#out.isTTY) this.#out.write('\r\x1b[K');
  }
}
