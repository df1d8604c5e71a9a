/** What a newcomer sees first: the demo, without any key. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startDemoModel } from '../../local/demo-model.ts';
import { type Product, startProduct } from '../support/product.ts';
import { findChromium, launchChromium } from './support/chromium.ts';
import { openPage } from './support/page.ts';

const EXAMPLE = 'Create a function to calculate factorial';

interface LayoutShift extends PerformanceEntry {
  value: number;
  hadRecentInput: boolean;
}

/** How far what is on the page has moved so far by itself, as browsers measure it. */
const shiftOf = (page: Page): Promise<number> =>
  page.evaluate(
    () =>
      new Promise<number>((resolve) => {
        let sum = 0;
        new PerformanceObserver((list) => {
          for (const { value, hadRecentInput } of list.getEntries() as LayoutShift[])
            if (!hadRecentInput) sum += value;
        }).observe({ type: 'layout-shift', buffered: true });
        // Buffered entries come before the next frame.
        requestAnimationFrame(() => setTimeout(() => resolve(sum)));
      }),
  );

describe.skipIf(!findChromium())('the demo in the browser', () => {
  let product: Product;
  let browser: Browser;
  let demo: Awaited<ReturnType<typeof startDemoModel>>;

  beforeAll(async () => {
    demo = await startDemoModel();
    const env = { OPENAI_BASE_URL: demo.url, OPENAI_MODEL: 'demo', OPENAI_API_KEY: 'demo' };
    [product, browser] = await Promise.all([startProduct({ env }), launchChromium()]);
  });
  afterAll(async () => {
    await browser.close();
    await product.close();
    await demo.close();
  });

  test('is there without anything moving', async () => {
    const { page, close } = await openPage(browser, product.url);
    await page.getByText('Demo model:').waitFor();
    await page.getByText('What you run is kept here.').waitFor();
    expect(await shiftOf(page)).toBeLessThan(0.01);
    await close();
  });

  test.each([1440, 390])('runs with hardly anything moving at a width of %i pixels', async (width) => {
    const { page, close } = await openPage(browser, product.url, { viewport: { width, height: 844 } });
    await page.getByRole('button', { name: EXAMPLE }).click();
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.getByText('Factorial of 5: 120').waitFor();
    await page.getByRole('button', { name: 'Run again' }).waitFor();
    await page.locator('.monaco-editor').waitFor();
    expect(await shiftOf(page)).toBeLessThan(0.1);
    await close();
  });

  test('runs an example, and says that it is a demo', async () => {
    const { page, close } = await openPage(browser, product.url);
    await page.getByText('Demo model:').waitFor();
    await page.getByRole('button', { name: EXAMPLE }).click();
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.getByText('Factorial of 5: 120').waitFor();
    // Why it took two attempts is told beside the result, and in full where it is asked for.
    await page.getByRole('link', { name: /Attempt 1.*The code is not valid Python on line 3/ }).click();
    await page
      .getByRole('region', { name: 'Why it failed' })
      .getByText(/Maybe you meant '=='/)
      .first()
      .waitFor();
    await close();
  });
});
