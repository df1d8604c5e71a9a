/** From a typed task to its result, live, in Chromium. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { python } from '../support/model-server.ts';
import { type Product, startProduct } from '../support/product.ts';
import { findChromium, launchChromium } from './support/chromium.ts';
import { expectAccessible, openPage } from './support/page.ts';

const TASK = 'What should the program do?';

describe.skipIf(!findChromium())('an execution in the browser', () => {
  let product: Product;
  let browser: Browser;

  beforeAll(async () => {
    [product, browser] = await Promise.all([startProduct({ warmSandboxes: 1 }), launchChromium()]);
  });
  afterAll(async () => {
    await browser.close();
    await product.close();
  });

  const open = (options = {}) => openPage(browser, product.url, options);
  const status = (page: Page) => page.getByRole('main').locator('header strong');
  const editor = (page: Page) => page.getByRole('region', { name: 'Code', exact: true });
  const output = (page: Page) => page.getByRole('region', { name: 'Output' });

  test('goes from the task to the repaired result', async () => {
    product.model.reply(python('print(1 / 0)'), python('print("the answer is", 42)'));
    const { page, close } = await open();
    await page.getByLabel(TASK).fill('Print the answer');
    await page.getByLabel(TASK).press('Control+Enter');
    await expect.poll(() => status(page).textContent()).toContain('Succeeded');
    expect(page.url()).toMatch(/\/executions\/[\w-]+$/);
    expect(await output(page).textContent()).toContain('the answer is 42');

    await page.getByRole('link', { name: /Attempt 1/ }).click();
    expect(page.url()).toMatch(/#attempt-1$/);
    await page
      .getByRole('region', { name: 'Why it failed' })
      .getByText('The program stopped with ZeroDivisionError on line 1: division by zero.')
      .waitFor();
    await editor(page).locator('.failing-note').first().waitFor();
    expect(await editor(page).locator('.failing-note').first().textContent()).toContain('ZeroDivisionError');

    await page.getByLabel('Compare with').selectOption('2');
    await editor(page).locator('.monaco-diff-editor').waitFor();
    await expect.poll(() => editor(page).locator('.monaco-diff-editor').textContent()).toContain('answer');
    await close();
  });

  test('shows the code while it is written and the output while it is printed', async () => {
    let finish = () => {};
    const gateBeforeEnd = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const program = 'import time\nprint("first", flush=True)\ntime.sleep(3)\nprint("second")';
    product.model.reply({ text: python(program), gateBeforeEnd });
    const { page, close } = await open();
    await page.getByLabel(TASK).fill('Print twice');
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await expect.poll(() => editor(page).textContent()).toContain('import');
    expect(await status(page).textContent()).toContain('Running');
    await page.getByText('The model is writing code').first().waitFor();
    finish();
    await expect.poll(() => output(page).textContent()).toContain('first');
    expect(await output(page).textContent()).not.toContain('second');
    expect(await status(page).textContent()).toContain('Running');
    await expect.poll(() => status(page).textContent()).toContain('Succeeded');
    await expect.poll(() => output(page).textContent()).toContain('second');
    await close();
  });

  test('cancels by Esc', async () => {
    product.model.reply(python('while True:\n    pass'));
    const { page, close } = await open();
    await page.getByLabel(TASK).fill('Run for ever');
    await page.getByLabel(TASK).press('Control+Enter');
    await page.getByText('Running the code').first().waitFor();
    await page.keyboard.press('Escape');
    await expect.poll(() => status(page).textContent()).toContain('Cancelled');
    await page.getByRole('button', { name: 'Run again' }).waitFor();
    await close();
  });

  test('cancels by Esc wherever one is, but not where Esc means something else', async () => {
    product.model.replyTo('Run for long', python('while True:\n    pass'));
    const { page, close } = await open();
    await page.getByLabel(TASK).fill('Run for long');
    await page.getByLabel(TASK).press('Control+Enter');
    await page.getByText('Running the code').first().waitFor();
    await page.getByLabel('Search in the history').fill('long');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Sandbox' }).click();
    await page.keyboard.press('Escape');
    expect(await status(page).textContent()).toContain('Running');
    await page.getByRole('button', { name: 'Cancel' }).click();
    await expect.poll(() => status(page).textContent()).toContain('Cancelled');

    product.model.replyTo('Run for long', python('while True:\n    pass'));
    await page.getByRole('button', { name: 'Run again' }).click();
    await page.getByText('Running the code').first().waitFor();
    await page.keyboard.press('Escape');
    await expect.poll(() => status(page).textContent()).toContain('Cancelled');
    await close();
  });

  test('goes on after a reload, with the draft', async () => {
    product.model.reply(python('import time\nprint("before", flush=True)\ntime.sleep(4)\nprint("after")'));
    const { page, close } = await open();
    await page.getByLabel(TASK).fill('Outlive a reload');
    await page.getByLabel(TASK).press('Control+Enter');
    await expect.poll(() => output(page).textContent()).toContain('before');
    await page.reload();
    await expect.poll(() => output(page).textContent()).toContain('before');
    expect(await status(page).textContent()).toContain('Running');
    expect(await page.getByLabel(TASK).inputValue()).toBe('Outlive a reload');
    await expect.poll(() => status(page).textContent()).toContain('Succeeded');
    await expect.poll(() => output(page).textContent()).toContain('after');
    await close();
  });

  test('goes on when the WebSocket is lost and restored', async () => {
    let finish = () => {};
    const gateBeforeEnd = new Promise<void>((resolve) => {
      finish = resolve;
    });
    product.model.reply({ text: python('print("whole")'), gateBeforeEnd });
    const sockets: { close(): Promise<void> }[] = [];
    let refusing = false;
    const { page, close } = await open({
      before: (page: Page) =>
        page.routeWebSocket(/\/ws\?/, async (socket) => {
          if (refusing) return socket.close();
          const server = socket.connectToServer();
          sockets.push({ close: () => Promise.all([server.close(), socket.close()]).then(() => undefined) });
        }),
    });
    await page.getByLabel(TASK).fill('Survive a lost connection');
    await page.getByLabel(TASK).press('Control+Enter');
    await page.getByText('Live', { exact: true }).waitFor();
    refusing = true;
    await sockets[0]?.close();
    await page.getByText('Reconnecting', { exact: true }).waitFor();
    refusing = false;
    finish();
    await expect.poll(() => status(page).textContent()).toContain('Succeeded');
    await expect.poll(() => output(page).textContent()).toContain('whole');
    await close();
  });

  test('goes on where the model server failed, and shows from where', async () => {
    const task = 'Refuse me on the way';
    product.model.replyTo(task, python('print(1 / 0)'), { status: 401 }, python('print("there")'));
    const { page, close } = await open();
    await page.getByLabel(TASK).fill(task);
    await page.getByLabel(TASK).press('Control+Enter');
    await page.getByRole('button', { name: 'Run again from attempt 2' }).click();
    await expect.poll(() => output(page).textContent()).toContain('there');
    expect(await page.getByRole('navigation').getByRole('link').count()).toBe(2);
    await page.getByRole('link', { name: 'goes on from an earlier run' }).click();
    await page.getByRole('button', { name: 'Run again from attempt 2' }).waitFor();
    await close();
  });

  test('runs again, and edits', async () => {
    product.model.reply(python('print("one")'), python('print("two")'));
    const { page, close } = await open();
    await page.getByLabel(TASK).fill('Run me twice');
    await page.getByLabel(TASK).press('Control+Enter');
    await expect.poll(() => output(page).textContent()).toContain('one');
    const first = page.url();
    await page.getByLabel(TASK).fill('');
    await page.getByRole('button', { name: 'Run again' }).click();
    await expect.poll(() => output(page).textContent()).toContain('two');
    expect(page.url()).not.toBe(first);
    await page.getByRole('button', { name: 'Edit' }).click();
    await expect.poll(() => page.getByLabel(TASK).inputValue()).toBe('Run me twice');
    expect(await page.getByLabel(TASK).evaluate((box) => box === document.activeElement)).toBe(true);
    await close();
  });

  test('needs no mouse', async () => {
    product.model.reply(python('print(1 / 0)'), python('print("by keyboard")'));
    const { page, close } = await open();
    const focused = () =>
      page.evaluate(() => {
        const element = document.activeElement;
        return element?.getAttribute('aria-label') ?? element?.textContent ?? '';
      });
    const tabTo = async (name: RegExp) => {
      for (let presses = 0; presses < 60; presses++) {
        await page.keyboard.press('Tab');
        if (name.test(await focused())) return;
      }
      throw new Error(`Tab does not lead to ${name}`);
    };
    await page.getByLabel(TASK).waitFor();
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('Skip to the execution');
    await tabTo(/^Theme/);
    await page.keyboard.press('Tab');
    await page.keyboard.type('Work by keyboard');
    await tabTo(/^Run$/);
    await page.keyboard.press('Enter');
    await expect.poll(() => status(page).textContent()).toContain('Succeeded');
    await tabTo(/^Attempt 1/);
    await page.keyboard.press('Enter');
    await page.getByText('ZeroDivisionError on line 1').first().waitFor();
    await tabTo(/^Code of attempt 1/);
    // The editor lets the focus through, to the end of the page and round again.
    await tabTo(/^Skip to the execution/);
    await close();
  });

  test('settings reach the service, and tests count', async () => {
    product.model.reply(python('def double(x):\n    return x'));
    const { page, close } = await open();
    await page.getByLabel(TASK).fill('Double a number');
    await page.getByText('Settings', { exact: true }).click();
    await page.getByLabel('Attempts at most').fill('1');
    await page.getByLabel('Seconds a run may take').fill('7');
    await page.getByLabel('Policy').selectOption('standard');
    await page.locator('details .monaco-editor').click();
    await page.keyboard.type('assert double(2) == 4');
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await expect.poll(() => status(page).textContent()).toContain('Failed');
    await page.getByText('The program ran, but a test failed').first().waitFor();
    const id = page.url().split('/').at(-1) ?? '';
    expect(await product.get(id)).toMatchObject({
      max_retries: 1,
      timeout: 7,
      policy: 'standard',
      tests: 'assert double(2) == 4',
    });
    await close();
  });

  test.each(['light', 'dark'] as const)('is accessible in the %s theme', async (colorScheme) => {
    product.model.reply(
      python('print("\\x1b[31mred \\x1b[42mon green\\x1b[0m")\nprint(1 / 0)'),
      python('print("done")'),
    );
    const { page, close } = await open({ colorScheme });
    await page.getByText('Settings', { exact: true }).click();
    await page.locator('details .monaco-editor').waitFor();
    await expectAccessible(page);
    await page.getByLabel(TASK).fill(`Be accessible in ${colorScheme}`);
    await page.getByLabel(TASK).press('Control+Enter');
    await expect.poll(() => status(page).textContent()).toContain('Succeeded');
    await editor(page).locator('.monaco-editor').waitFor();
    await expectAccessible(page);
    await page.getByRole('link', { name: /Attempt 1/ }).click();
    await editor(page).locator('.failing-note').first().waitFor();
    await expectAccessible(page);
    await page.getByLabel('Compare with').selectOption('2');
    await editor(page).locator('.monaco-diff-editor .line-insert').first().waitFor();
    await expectAccessible(page);
    await close();
  });
});
