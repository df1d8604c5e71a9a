/** Pages of the product in Chromium that remember whatever goes wrong in them. */
import axe from 'axe-core';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { expect } from 'vitest';
import { contentSecurityPolicy } from '../../../web/content-security-policy.ts';

export interface OpenOptions extends BrowserContextOptions {
  path?: string;
  /** Done before the page loads. */
  before?: (page: Page) => Promise<void>;
}

export interface OpenedPage {
  page: Page;
  /** Errors of scripts, of the console, and violations of the content security policy, so far. */
  problems: string[];
  /** Closes the page and fails if there was a problem that none of `expected` matches. */
  close(...expected: RegExp[]): Promise<void>;
}

/** Opens a page in a context of its own, so with nothing kept from another. */
export async function openPage(
  browser: Browser,
  url: string,
  options: OpenOptions = {},
): Promise<OpenedPage> {
  const { path = '/', before, ...contextOptions } = options;
  const context = await browser.newContext({ serviceWorkers: 'block', ...contextOptions });
  const page = await context.newPage();
  const problems = watch(page);
  await before?.(page);
  const response = await page.goto(url + path);
  expect(response?.headers()['content-security-policy']).toBe(contentSecurityPolicy);
  return {
    page,
    problems,
    async close(...expected) {
      await context.close();
      const unexpected = problems.filter((problem) => !expected.some((one) => one.test(problem)));
      expect(unexpected).toEqual([]);
    },
  };
}

function watch(page: Page): string[] {
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(`error: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(`console: ${message.text()} (${message.location().url})`);
  });
  // What the policy forbids a worker leaves no message by itself. Buffered: the worker may be ahead of this.
  page.on('worker', (worker) => {
    const tell = () =>
      new ReportingObserver(
        (reports) => {
          for (const { body } of reports) console.error(`forbidden to a worker: ${JSON.stringify(body)}`);
        },
        { types: ['csp-violation'], buffered: true },
      ).observe();
    // It may have ended already.
    worker.evaluate(tell).catch(() => {});
  });
  return problems;
}

/** Fails if axe finds anything against WCAG 2.2 AA or its best practices, in either theme. */
export async function expectAccessible(page: Page): Promise<void> {
  await page.evaluate(axe.source);
  const isDark = await page.evaluate(() => matchMedia('(prefers-color-scheme: dark)').matches);
  // The theme of the page comes last, so that it stays.
  for (const colorScheme of isDark ? (['light', 'dark'] as const) : (['dark', 'light'] as const)) {
    await page.emulateMedia({ colorScheme });
    // The editor learns of it in the next frame.
    await page.evaluate(
      () => new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen))),
    );
    const violations = await page.evaluate(async () => {
      const { violations } = await (window as unknown as { axe: typeof axe }).axe.run({
        // Of WCAG 2.2, and not among axe's defaults.
        rules: { 'target-size': { enabled: true } },
      });
      return violations.flatMap(({ id, nodes }) =>
        nodes.map(({ target, failureSummary }) => `${id}: ${target.join(' ')}: ${failureSummary}`),
      );
    });
    expect(violations, `in the ${colorScheme} theme`).toEqual([]);
  }
}
