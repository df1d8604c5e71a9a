/** What an execution leaves: files, history, and output of programs that mean no good. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Execution } from '../../functions/execution/execution.ts';
import { python } from '../support/model-server.ts';
import { type Product, startProduct } from '../support/product.ts';
import { attempt } from '../web/support/executions.ts';
import { findChromium, launchChromium } from './support/chromium.ts';
import { expectAccessible, openPage } from './support/page.ts';
import { type StreamedExecution, streamExecution } from './support/stream.ts';

/** A red picture of one pixel. */
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC';

describe.skipIf(!findChromium())('results in the browser', () => {
  let product: Product;
  let browser: Browser;

  beforeAll(async () => {
    [product, browser] = await Promise.all([startProduct({ warmSandboxes: 1 }), launchChromium()]);
  });
  afterAll(async () => {
    await browser.close();
    await product.close();
  });

  const run = (prompt: string, program: string): Promise<Execution> => {
    product.model.replyTo(prompt, python(program));
    return product.run({ prompt, policy: 'standard', max_retries: 1 });
  };
  const open = (path: string, options = {}) => openPage(browser, product.url, { path, ...options });
  const code = (page: Page) => page.getByRole('region', { name: 'Code', exact: true });
  const output = (page: Page) => page.getByRole('region', { name: 'Output' });

  async function openStream() {
    let stream: StreamedExecution | undefined;
    const before = async (page: Page) => {
      stream = await streamExecution(page);
    };
    const opened = await open('/executions/streamed', { before });
    await stream?.listening;
    return { ...opened, send: stream?.send ?? (() => {}) };
  }

  test('shows pictures and tables, and gives files to download', async () => {
    const { execution_id } = await run(
      'Leave files',
      `import base64
open('chart.png', 'wb').write(base64.b64decode('${PNG}'))
open('table.csv', 'w').write('name,value\\n"a, b",1\\n<img src=x onerror=alert(1)>,2\\n')
open('page.html', 'w').write('<script>alert(1)</script>')
open('drawing.svg', 'w').write('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>')
open('fake.png', 'w').write('<script>alert(1)</script>')`,
    );
    const { page, close } = await open(`/executions/${execution_id}`);
    const files = page.getByRole('region', { name: 'Files' });
    const picture = files.getByRole('img', { name: 'chart.png' });
    await expect.poll(() => picture.evaluate((image: HTMLImageElement) => image.naturalWidth)).toBe(1);
    await files.getByText('This file cannot be shown as a picture').waitFor();
    expect(await files.getByRole('cell').allTextContents()).toEqual([
      'a, b',
      '1',
      '<img src=x onerror=alert(1)>',
      '2',
    ]);
    // What could hold a script is never shown, only saved.
    expect(await files.getByRole('img').count()).toBe(1);
    const [saved] = await Promise.all([
      page.waitForEvent('download'),
      files.getByRole('button', { name: 'Download page.html' }).click(),
    ]);
    expect(saved.suggestedFilename()).toBe('page.html');
    for (const [button, name] of [
      ['Download notebook', 'leave-files.ipynb'],
      ['Download ZIP of program, output and files', 'leave-files.zip'],
    ] as const) {
      const [whole] = await Promise.all([
        page.waitForEvent('download'),
        page.getByRole('button', { name: button }).click(),
      ]);
      expect(whole.suggestedFilename()).toBe(name);
    }
    await expectAccessible(page);

    await files.getByRole('button', { name: 'Show chart.png large' }).click();
    const large = page.getByRole('dialog', { name: 'chart.png' });
    await large.waitFor();
    await expectAccessible(page);
    await page.keyboard.press('Escape');
    await large.waitFor({ state: 'hidden' });
    await close();
  });

  test('shows a picture in real size, and fitted to the window again', async () => {
    const { execution_id } = await run(
      'Leave a large picture',
      `import struct, zlib
def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
rows = (b'\\0' + b'\\xc0' * 3000) * 2000
header = struct.pack('>IIBBBBB', 3000, 2000, 8, 0, 0, 0, 0)
png = b'\\x89PNG\\r\\n\\x1a\\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')
open('large.png', 'wb').write(png)`,
    );
    const { page, close } = await open(`/executions/${execution_id}`);
    const show = page.getByRole('button', { name: 'Show large.png large' });
    const dialog = page.getByRole('dialog', { name: 'large.png' });
    const picture = dialog.getByRole('button', { name: 'large.png in real size' });
    const width = () => picture.locator('img').evaluate((image) => image.getBoundingClientRect().width);

    await show.click();
    const { width: windowWidth } = page.viewportSize() ?? { width: 0 };
    expect(await width()).toBeGreaterThan(windowWidth / 2);
    expect(await width()).toBeLessThan(windowWidth);
    await picture.click();
    expect(await width()).toBe(3000);
    await expectAccessible(page);
    // All of it can be reached.
    await page.mouse.wheel(10_000, 10_000);
    await expect.poll(() => picture.evaluate((one) => one.parentElement?.scrollLeft)).toBeGreaterThan(1_000);
    await page.keyboard.press('Enter');
    expect(await width()).toBeLessThan(windowWidth);
    expect(await picture.getAttribute('aria-pressed')).toBe('false');

    await dialog.getByRole('button', { name: 'Close' }).click();
    await dialog.waitFor({ state: 'hidden' });
    await show.click();
    await page.mouse.click(2, 2);
    await dialog.waitFor({ state: 'hidden' });
    await close();
  });

  test('shows the code of each attempt, also where it is the same', async () => {
    const program = python('print("same")\n1 / 0');
    product.model.replyTo('Repeat yourself', program, program);
    const { execution_id } = await product.run({ prompt: 'Repeat yourself', max_retries: 2 });
    const { page, close } = await open(`/executions/${execution_id}`);
    for (const number of [2, 1, 2]) {
      await page.getByRole('link', { name: `Attempt ${number}` }).click();
      await code(page).getByLabel(`Code of attempt ${number}`).waitFor({ state: 'attached' });
      await expect.poll(() => code(page).locator('.view-lines').textContent()).toContain('same');
      await code(page).locator('.failing-note').first().waitFor();
    }
    await close();
  });

  test('compares with an attempt that is being written', async () => {
    const { page, send, close } = await openStream();
    const failed = attempt({ code: 'first = 1\nkept = 2', error_category: 'exception', error: 'No' });
    send({ type: 'attempt.finished', attempt: 1, result: failed });
    send({ type: 'attempt.started', attempt: 2, total_attempts: 5 });
    send({ type: 'code.delta', attempt: 2, text: 'second = 1\n' });
    await page.getByLabel('Compare with').selectOption('1');
    await code(page).getByText('attempt 1 → attempt 2').waitFor();
    const diff = code(page).locator('.monaco-diff-editor');
    await expect.poll(() => diff.locator('.editor.modified').textContent()).toContain('second');
    await diff.evaluate((element) => element.setAttribute('data-same', ''));
    for (let line = 0; line < 10; line++)
      send({ type: 'code.delta', attempt: 2, text: `line_${line} = 1\n` });
    await expect.poll(() => diff.locator('.editor.modified').textContent()).toContain('line_9');
    expect(await diff.locator('.editor.original').textContent()).toContain('first');
    expect(await diff.getAttribute('data-same')).toBe('');
    await code(page).getByLabel('Attempts 1 and 2, after').waitFor({ state: 'attached' });
    await close();
  });

  test('finds the past again', async () => {
    await run('Something blue', 'print("blue")');
    const { execution_id } = await run('Something red', 'print("red")\n1 / 0');
    for (let number = 0; number < 35; number++)
      await product.start({ prompt: `Filler ${number}`, max_retries: 1 });
    const { page, close } = await open('/');
    const history = page.getByRole('region', { name: 'History' });
    await history.getByText('Filler 34').waitFor();
    expect(await history.getByText('Something red').count()).toBe(0);
    // Older ones come while scrolling.
    await history.getByRole('link').last().hover();
    await page.mouse.wheel(0, 5_000);
    await history.getByText('Something red').waitFor();
    await history.getByLabel('Search in the history').fill('something');
    await history.getByLabel('Status').selectOption('failed');
    await expect.poll(() => history.getByRole('link').count()).toBe(1);
    await history.getByRole('link', { name: /Something red/ }).click();
    await output(page).getByText('red').waitFor();
    expect(new URL(page.url()).pathname).toBe(`/executions/${execution_id}`);
    await page.goBack();
    await page.getByText('Describe a task').waitFor();
    await close();
  });

  test('opens an execution and an attempt by its address', async () => {
    product.model.replyTo('Be linked', python('print("first try")\n1 / 0'), python('print("second try")'));
    const { execution_id } = await product.run({ prompt: 'Be linked' });
    const { page, close } = await open(`/executions/${execution_id}#attempt-1`, {
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    await output(page).getByText('first try').waitFor();
    await page.getByRole('button', { name: 'Copy link' }).click();
    await page.getByText('Copied').first().waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(page.url());
    await page.goto(`${product.url}/executions/${execution_id}`);
    await output(page).getByText('second try').waitFor();
    await close();
  });

  test('says that there is no such execution', async () => {
    const { page, close } = await open('/executions/nothing-here');
    await page.getByText('There is no execution "nothing-here"').waitFor();
    await expectAccessible(page);
    await close(/404 \(Not Found\)/);
  });

  test('long output can be searched, copied and read from end to start', async () => {
    const { execution_id } = await run(
      'Count',
      'for n in range(30_000):\n    print(f"line {n} \\x1b[32mok\\x1b[0m")\nprint("needle at the end")',
    );
    const { page, close } = await open(`/executions/${execution_id}`, {
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    await output(page).getByText('needle at the end').waitFor();
    expect(await output(page).locator('.log-row').count()).toBeLessThan(100);
    await output(page).getByLabel('Search in the output').fill('LINE 12345');
    await output(page).getByText('1 of 1').waitFor();
    await output(page).locator('mark[data-current]').waitFor();
    expect(await output(page).locator('mark[data-current]').first().textContent()).toContain('line 12345');
    await output(page).getByLabel('Printed text').focus();
    await page.keyboard.press('Home');
    await output(page).getByText('line 0').waitFor();
    await output(page).getByRole('button', { name: 'Copy output' }).click();
    await page.getByText('Copied').first().waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    expect(copied).toContain('line 12345 ok\n');
    await close();
  });

  test('output with a search in it can be scrolled while it comes', async () => {
    const { page, send, close } = await openStream();
    let chunk = 0;
    const print = (text: string) => send({ type: 'run.output', attempt: 1, run: 1, chunk: ++chunk, text });
    const log = output(page).getByLabel('Printed text');
    const scrollTop = () => log.evaluate((element) => element.scrollTop);
    send({ type: 'run.started', attempt: 1 });
    print(
      Array.from({ length: 500 }, (_, line) => `${line % 100 === 50 ? 'needle' : 'hay'} ${line}\n`).join(''),
    );
    await output(page).getByLabel('Search in the output').fill('needle');
    await output(page).getByText('1 of 5').waitFor();
    await output(page).getByText('needle 50').waitFor();

    const scrolled = (await scrollTop()) + 4_000;
    await log.hover();
    await page.mouse.wheel(0, 4_000);
    await expect.poll(scrollTop).toBe(scrolled);
    print('needle 500\n');
    await output(page).getByText('1 of 6').waitFor();
    print('needle 501\n');
    await output(page).getByText('1 of 7').waitFor();
    expect(await scrollTop()).toBe(scrolled);

    // A hit at the end stays where it is, too; who scrolls to the end follows it.
    await output(page).getByLabel('Search in the output').press('Shift+Enter');
    await output(page).getByText('needle 501').waitFor();
    print('more\n'.repeat(200));
    await output(page).getByText('702 lines').waitFor();
    await output(page).locator('mark[data-current]').waitFor();
    await log.focus();
    await page.keyboard.press('End');
    await output(page).getByText('more').first().waitFor();
    print('the last\n');
    await output(page).getByText('the last').waitFor();
    await close();
  });

  test('dim and coloured output can be read, found or not', async () => {
    const { execution_id } = await run(
      'Print pale',
      `for color in [39, *range(30, 38), *range(90, 98)]:
    for background in [49, *range(40, 48)]:
        print(f'\\x1b[2;{color};{background}mpale\\x1b[0m', end=' ')
    print()`,
    );
    const { page, close } = await open(`/executions/${execution_id}`);
    await output(page).getByText('pale').first().waitFor();
    await expectAccessible(page);
    await output(page).getByLabel('Search in the output').fill('pale');
    await output(page).locator('mark').first().waitFor();
    await expectAccessible(page);
    await close();
  });

  test('the label of the tests leads to their editor', async () => {
    const { page, close } = await open('/');
    await page.getByText('Settings', { exact: true }).click();
    await page.locator('details .monaco-editor').waitFor();
    await page.locator('label', { hasText: 'Tests' }).click();
    await page.keyboard.type('assert True');
    await expect.poll(() => page.locator('details .view-lines').textContent()).toMatch(/assert\sTrue/);
    await close();
  });

  test('hostile output is harmless', async () => {
    const { execution_id } = await run(
      '<img src=x onerror=alert(1)> in the task',
      `print('<script>alert(1)</script><img src=x onerror=alert(2)>')
print('\\x1b]0;title\\x07\\x1b[2J\\x1b[1000;1Hmoved')
print('\\x1b]8;;javascript:alert(3)\\x1b\\\\\\\\link\\x1b]8;;\\x1b\\\\\\\\')
print('\\x1b[31m' * 100_000 + 'red')
print('\\u202egnp.exe')
print('z' + '\\u0351' * 50_000)
print('x' * 400_000)
raise ValueError('<script>alert(4)</script>' + 'y' * 5_000)`,
    );
    let dialogs = 0;
    const { page, close } = await open(`/executions/${execution_id}`, {
      before: async (opened: Page) => {
        opened.on('dialog', (dialog) => {
          dialogs++;
          void dialog.dismiss();
        });
      },
    });
    await output(page).getByText('xxxxxxxx').first().waitFor();
    await output(page).getByLabel('Printed text').focus();
    await page.keyboard.press('Home');
    await output(page).getByText('<script>alert(1)</script>').waitFor();
    expect(await page.locator('main script, main img[src="x"], main a[href^="javascript"]').count()).toBe(0);
    expect(await page.title()).not.toBe('title');
    const width = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(width).toBeLessThanOrEqual(0);
    expect(dialogs).toBe(0);
    await close();
  });
});
