/** The page where things are not as they should be: no connection, no key, little room, a new version. */
import { appendFile, copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page, Route } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { python } from '../support/model-server.ts';
import { type Product, startProduct } from '../support/product.ts';
import { findChromium, launchChromium } from './support/chromium.ts';
import { expectAccessible, openPage } from './support/page.ts';

const TASK = 'What should the program do?';
const DIST = fileURLToPath(new URL('../../web/dist', import.meta.url));
const SERVICE_WORKER = path.join(DIST, 'service-worker.js');
const INDEX = path.join(DIST, 'index.html');

describe.skipIf(!findChromium())('the page under other conditions', () => {
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
  const output = (page: Page) => page.getByRole('region', { name: 'Output' });
  const start = async (page: Page, prompt: string, program: string) => {
    product.model.replyTo(prompt, python(program));
    await page.getByLabel(TASK).fill(prompt);
    await page.getByLabel(TASK).press('Control+Enter');
  };
  const overflow = (page: Page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

  test('the service is away, and comes back', async () => {
    const { page, close } = await open();
    await page.getByLabel(TASK).waitFor();
    const away = (route: Route) => route.abort();
    await page.route('**/api/**', away);
    await start(page, 'Be patient', 'print("patience")');
    await page.getByRole('alert').getByText('The service cannot be reached').waitFor();
    await expectAccessible(page);
    await page.unroute('**/api/**', away);
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await output(page).getByText('patience').waitFor();
    expect(await page.getByText('The service cannot be reached').count()).toBe(0);
    await page.route('**/api/execute', away);
    await page.getByRole('button', { name: 'Run again' }).click();
    await page.getByRole('main').getByText('The service cannot be reached').waitFor();
    await close(/net::ERR_FAILED/);
  });

  test('an execution is followed without WebSockets', async () => {
    const { page, close } = await open({
      before: (opened: Page) => opened.routeWebSocket(/\/ws\?/, (socket) => void socket.close()),
    });
    await start(page, 'Be polled', 'import time\ntime.sleep(6)\nprint("polled")');
    await page.getByText('Polling', { exact: true }).waitFor();
    await output(page).getByText('polled').waitFor();
    await close();
  });

  test('what was seen is there without a connection', async () => {
    const { page, close } = await open({ serviceWorkers: 'allow' });
    await page.getByText('Settings', { exact: true }).click();
    await page.getByLabel('Policy').selectOption('standard');
    const csv = 'with open("kept.csv", "w") as file:\n    file.write("word\\nkept\\n")';
    await start(page, 'Be remembered', `${csv}\nprint("remembered")`);
    await page.getByRole('cell', { name: 'kept' }).waitFor();
    await output(page).getByText('remembered').waitFor();
    await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
    await page.locator('.monaco-editor').first().waitFor();
    await page.context().setOffline(true);
    await page.reload();
    await output(page).getByText('remembered').waitFor();
    await page.getByRole('cell', { name: 'kept' }).waitFor();
    await page.getByText('Service away, trying again').waitFor();
    await page.getByRole('region', { name: 'History' }).getByText('Be remembered').waitFor();
    await page.context().setOffline(false);
    await page.getByText('Up to date').waitFor({ timeout: 20_000 });
    await close(/net::ERR_INTERNET_DISCONNECTED/, /service worker was not installed/);
  });

  test('a new version announces itself', async () => {
    const { page, close } = await open({ serviceWorkers: 'allow' });
    await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
    await page.reload();
    await page.getByLabel(TASK).fill('A draft to keep');
    const [worker, index] = await Promise.all([readFile(SERVICE_WORKER), readFile(INDEX, 'utf8')]);
    const entry = /src="(\/assets\/index-[\w-]+\.js)"/.exec(index)?.[1] ?? '';
    const another = entry.replace('.js', '-2.js');
    const notice = page.getByText('A new version of this page is there');
    const update = () =>
      page.evaluate(async () => {
        const changed = new Promise((resolve) =>
          navigator.serviceWorker.addEventListener('controllerchange', resolve, { once: true }),
        );
        await (await navigator.serviceWorker.ready).update();
        await changed;
      });
    try {
      await appendFile(SERVICE_WORKER, '\n// Another worker for the same page.\n');
      const asked = page.waitForResponse((response) => new URL(response.url()).pathname === '/');
      await update();
      await (await asked).finished();
      expect(await notice.count()).toBe(0);

      await copyFile(path.join(DIST, entry), path.join(DIST, another));
      await writeFile(INDEX, index.replace(entry, another));
      await appendFile(SERVICE_WORKER, '\n// Another build.\n');
      await update();
      await notice.waitFor();
      await expectAccessible(page);
      await page.getByRole('button', { name: 'Reload' }).click();
      await notice.waitFor({ state: 'hidden' });
      expect(await page.getByLabel(TASK).inputValue()).toBe('A draft to keep');
    } finally {
      await Promise.all([
        writeFile(SERVICE_WORKER, worker),
        writeFile(INDEX, index),
        rm(path.join(DIST, another), { force: true }),
      ]);
    }
    await close();
  });

  test('a key is asked for, tried and kept', async () => {
    const { handler: authorize } = await import('../../functions/api/authorizer.ts');
    const { makeKey } = await import('../../functions/callers/keys.ts');
    const { setKeyRevoked } = await import('../support/store.ts');
    const [first, second] = [await makeKey('local', 'first'), await makeKey('local', 'second')];
    /** What API Gateway does: no key and a key that the authorizer refuses get answers of its own. */
    const withKeys = async (page: Page) => {
      await page.route('**/config.json', (route) => route.fulfill({ json: { auth: 'api-key' } }));
      await page.route('**/api/**', async (route) => {
        const request = route.request();
        if (request.url().endsWith('/health')) return route.continue();
        const headers = request.headers();
        if (!headers['x-api-key']) return route.fulfill({ status: 401, json: { message: 'Unauthorized' } });
        const { isAuthorized } = await authorize({ headers, routeKey: 'test' } as never, {} as never);
        return isAuthorized
          ? route.continue()
          : route.fulfill({ status: 403, json: { message: 'Forbidden' } });
      });
    };
    const { page, close } = await open({ before: withKeys });
    await page.getByLabel('API key').fill('bad-key');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').getByText('Your key is not accepted').waitFor();
    await expectAccessible(page);
    await page.getByLabel('API key').fill(first.key);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByLabel(TASK).waitFor();
    expect(await page.evaluate(() => localStorage.getItem('key'))).toBeNull();
    await page.reload();
    await start(page, 'Be allowed', 'print("allowed")');
    await output(page).getByText('allowed').waitFor();
    expect(await page.evaluate(() => caches.has('seen'))).toBe(false);

    await setKeyRevoked(first.record.key_id);
    await page.getByRole('button', { name: 'Cancel' }).waitFor({ state: 'hidden' });
    await page.reload();
    await page.getByText('Your key is not accepted any more').waitFor();
    await page.getByLabel('API key').fill(second.key);
    await page.getByLabel('Remember it on this device').check();
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
    expect(await page.evaluate(() => localStorage.getItem('key'))).toBe(second.key);
    // Settings that cannot be read for once are no reason to forget a key.
    await page.route('**/config.json', (route) => route.fulfill({ status: 503 }), { times: 1 });
    await page.reload();
    await page.getByRole('button', { name: 'Sign out' }).waitFor();
    expect(await page.evaluate(() => localStorage.getItem('key'))).toBe(second.key);
    const tab = await page.context().newPage();
    await withKeys(tab);
    await tab.goto(product.url);
    await tab.getByRole('button', { name: 'Sign out' }).waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('API key').waitFor();
    await tab.getByLabel('API key').waitFor();
    await tab.close();
    expect(await page.evaluate(() => localStorage.getItem('key'))).toBeNull();
    await close(/(401|403|503) \(/);
  });

  test.each([390, 320])('fits a width of %i pixels', async (width) => {
    const { page, close } = await open({ viewport: { width, height: 800 }, hasTouch: true, isMobile: true });
    await page.getByLabel(TASK).waitFor();
    expect(await overflow(page)).toBeLessThanOrEqual(0);
    await expectAccessible(page);
    const prompt = `Be small, ${width}`;
    product.model.replyTo(prompt, python('print(1 / 0)'));
    await start(page, prompt, 'print("small " * 40)');
    await expect.poll(() => status(page).textContent()).toContain('Succeeded');
    expect(await page.getByLabel(TASK).isVisible()).toBe(false);
    expect(await overflow(page)).toBeLessThanOrEqual(0);
    await page.locator('.monaco-editor').first().waitFor();
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Edit' }).tap();
    await expect.poll(() => page.getByLabel(TASK).inputValue()).toBe(prompt);
    await page.getByRole('region', { name: 'History' }).getByText(prompt).tap();
    await page.getByRole('link', { name: 'New' }).tap();
    await page.getByLabel(TASK).waitFor();
    await close();
  });

  test('tabs know of each other', async () => {
    const { page, close } = await open();
    const other = await page.context().newPage();
    await other.goto(product.url);
    await other.getByRole('region', { name: 'History' }).waitFor();
    await start(page, 'Be in two tabs', 'import time\nprint("both", flush=True)\ntime.sleep(3)');
    await other.getByRole('link', { name: /Be in two tabs/ }).click();
    await Promise.all([output(page).getByText('both').waitFor(), output(other).getByText('both').waitFor()]);
    expect(await other.getByLabel(TASK).inputValue()).toBe('');
    await expect.poll(() => status(other).textContent()).toContain('Succeeded');
    await close();
  });

  test('a chosen theme stays, without a flash', async () => {
    const { page, close } = await open({ colorScheme: 'light', reducedMotion: 'reduce' });
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.getByLabel(TASK).waitFor();
    const light = await background();
    await page.getByRole('button', { name: /^Theme: as the device/ }).click();
    expect(await background()).toBe(light);
    await page.getByRole('button', { name: /^Theme: light/ }).click();
    const dark = await background();
    expect(dark).not.toBe(light);
    // Before any script of the page itself has run.
    await page.route('**/assets/*.js', (route) => route.abort());
    await page.reload();
    expect(await background()).toBe(dark);
    await close(/net::ERR_FAILED/);
  });
});
