/** What an execution leaves: files, history, and output of programs that mean no good. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Execution } from '../../functions/core/execution.ts';
import { python } from '../support/model-server.ts';
import { type Product, startProduct } from '../support/product.ts';
import { findChromium, launchChromium } from './support/chromium.ts';
import { expectAccessible, openPage } from './support/page.ts';

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
  const output = (page: Page) => page.getByRole('region', { name: 'Output' });

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
    await expectAccessible(page);

    await files.getByRole('button', { name: 'Show chart.png large' }).click();
    const large = page.getByRole('dialog', { name: 'chart.png' });
    await large.waitFor();
    await expectAccessible(page);
    await page.keyboard.press('Escape');
    await large.waitFor({ state: 'hidden' });
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
