/** Much at once: the page stays usable while more code and output come than anyone reads. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Product, startProduct } from '../support/product.ts';
import { attempt, summary } from '../web/support/executions.ts';
import { findChromium, launchChromium } from './support/chromium.ts';
import { openPage } from './support/page.ts';
import { longProgram, outputPieces, type StreamedExecution, streamExecution } from './support/stream.ts';

describe.skipIf(!findChromium())('a long stream in the browser', () => {
  let product: Product;
  let browser: Browser;

  beforeAll(async () => {
    [product, browser] = await Promise.all([startProduct(), launchChromium()]);
  });
  afterAll(async () => {
    await browser.close();
    await product.close();
  });

  async function open() {
    let stream: StreamedExecution | undefined;
    const opened = await openPage(browser, product.url, {
      path: '/executions/streamed',
      before: async (page: Page) => {
        stream = await streamExecution(page);
      },
    });
    await stream?.listening;
    return { ...opened, send: stream?.send ?? (() => {}) };
  }
  const output = (page: Page) => page.getByRole('region', { name: 'Output' });

  test('a program of 3,000 lines is shown while it is written', async () => {
    const { page, send, close } = await open();
    const program = longProgram(3_000);
    const write = (at: number) =>
      send({ type: 'code.delta', attempt: 1, text: program.slice(at, at + 2_000) });
    write(0);
    // A program that is whole before the editor has come is shown from its beginning.
    await page.locator('.monaco-editor .view-line').first().waitFor();
    for (let at = 2_000; at < program.length; at += 2_000) write(at);
    send({ type: 'code.completed', attempt: 1, code: program });
    // The end stays in view.
    await page.getByText('value_2999').waitFor();
    await page.getByText('attempt 1, 3,000 lines').waitFor();
    await close();
  });

  test('10 MB of output and a line of 10 MB: typed text arrives, few elements exist, the end is shown', async () => {
    const { page, send, close } = await open();
    send({ type: 'run.started', attempt: 1 });
    let chunk = 0;
    const print = (text: string) => send({ type: 'run.output', attempt: 1, run: 1, chunk: ++chunk, text });
    const typed = page.getByLabel('What should the program do?').pressSequentially('typed while it streams');
    for (const piece of outputPieces(10_000_000)) print(piece);
    await typed;
    expect(await page.getByLabel('What should the program do?').inputValue()).toBe('typed while it streams');
    print(`\n${'x'.repeat(10_000_000)}\nthe end`);
    await output(page).getByText('the end', { exact: true }).waitFor();
    expect(await page.locator('.log-row').count()).toBeLessThan(100);
    await output(page).getByLabel('Printed text').focus();
    await page.keyboard.press('Home');
    await output(page).getByText('1', { exact: false }).first().waitFor();
    const ended = attempt({ status: 'succeeded', success: true, output: 'all of it', execution_time: 1 });
    send({ type: 'attempt.finished', attempt: 1, result: ended });
    send({ type: 'execution.finished', execution: summary({ status: 'succeeded', success: true }) });
    await output(page).getByText('all of it').waitFor();
    await close();
  });
});
