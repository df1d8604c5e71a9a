/** An execution told on a terminal, event by event. */
import { styleText } from 'node:util';
import type { ExecutionEvent } from '../functions/core/events.ts';
import type { Attempt } from '../functions/core/execution.ts';

type Style = Parameters<typeof styleText>[0];

export class Transcript {
  readonly #out: NodeJS.WriteStream;
  /** What is being waited for, shown with the time it takes while nothing else is written. */
  #waiting: { text: string; since: number } | null = null;
  #ticker: NodeJS.Timeout | undefined;
  /** Whether the last character written ended a line. */
  #atLineStart = true;
  #shown = { code: false, output: false };

  constructor(out: NodeJS.WriteStream = process.stdout) {
    this.#out = out;
  }

  tell(event: ExecutionEvent): void {
    switch (event.type) {
      case 'attempt.started':
        this.#shown = { code: false, output: false };
        this.line();
        this.line(this.#style('bold', `Attempt ${event.attempt} of ${event.total_attempts}`));
        this.#wait('the model writes');
        break;
      case 'code.delta':
        this.#shown.code = true;
        this.#write(this.#style('cyan', event.text));
        break;
      case 'code.completed':
        if (!this.#shown.code && event.code) this.#write(this.#style('cyan', event.code));
        this.#endLine();
        this.#wait('checking, then running');
        break;
      case 'run.output':
        this.#startOutput();
        this.#write(event.text);
        break;
      case 'attempt.finished':
        this.#finished(event.result);
        break;
      default:
        break;
    }
  }

  line(text = ''): void {
    this.#endLine();
    this.#write(`${text}\n`);
  }

  /** Stops showing that something is waited for. */
  end(): void {
    this.#endLine();
    this.#wait(null);
  }

  #finished(result: Attempt): void {
    this.#endLine();
    if (result.output && !this.#shown.output) {
      this.#startOutput();
      this.#write(result.output);
    }
    if (result.success) {
      this.line(this.#style('green', `✓ succeeded in ${Math.ceil((result.execution_time ?? 0) * 1000)} ms`));
    } else {
      const place = result.error_line ? ` (line ${result.error_line})` : '';
      this.line(this.#style('red', `✗ ${result.error ?? result.status}${place}`));
    }
    for (const { name, size } of result.artifacts) this.line(`  file: ${name} (${size} bytes)`);
    this.#wait(null);
  }

  #startOutput(): void {
    if (this.#shown.output) return;
    this.#shown.output = true;
    this.line(this.#style('dim', 'output:'));
  }

  #write(text: string): void {
    if (!text) return;
    this.#clearWaiting();
    this.#out.write(text);
    this.#atLineStart = text.endsWith('\n');
  }

  #endLine(): void {
    this.#clearWaiting();
    if (!this.#atLineStart) this.#out.write('\n');
    this.#atLineStart = true;
  }

  #wait(text: string | null): void {
    this.#clearWaiting();
    clearInterval(this.#ticker);
    this.#waiting = text ? { text, since: Date.now() } : null;
    if (!text || !this.#out.isTTY) return;
    this.#ticker = setInterval(() => this.#showWaiting(), 200);
    this.#ticker.unref();
    this.#showWaiting();
  }

  #showWaiting(): void {
    if (!this.#waiting || !this.#atLineStart) return;
    const seconds = Math.floor((Date.now() - this.#waiting.since) / 1000);
    this.#out.write(`\r\x1b[K${this.#style('dim', `… ${this.#waiting.text} (${seconds} s)`)}`);
  }

  #clearWaiting(): void {
    if (this.#waiting && this.#atLineStart && this.#out.isTTY) this.#out.write('\r\x1b[K');
  }

  #style(style: Style, text: string): string {
    return this.#out.isTTY ? styleText(style, text, { validateStream: false }) : text;
  }
}
