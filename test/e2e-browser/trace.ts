/**
 * How the page feels: its first load, and its longest task while much streams into it. A program of its own, which
 * npm run bench starts: `npx tsx test/e2e-browser/trace.ts`.
 */
import type { Browser, Page } from 'playwright-core';
import { median, ms, report } from '../bench/measure.ts';
import { startProduct } from '../support/product.ts';
import buildPage from './support/build.ts';
import { findChromium, launchChromium } from './support/chromium.ts';
import { longProgram, outputPieces, streamExecution } from './support/stream.ts';

const LOADS = 5;
/** What Lighthouse calls good, in ms. */
const GOOD = { paint: 1_800, interactive: 3_800 };
const STREAM_SIZE = 10_000_000;
/** Pauses between messages, in ms: 10 MB in some seconds. */
const MESSAGE_PAUSE = 10;
/** What a person does not notice while typing, in ms. */
const UNNOTICED = 200;

async function benchLoad(browser: Browser, url: string): Promise<void> {
  const loads: { paint: number; interactive: number; script: number }[] = [];
  for (let load = 0; load < LOADS; load++) {
    const page = await browser.newPage({ serviceWorkers: 'block' });
    await page.goto(url);
    await page.getByLabel('What should the program do?').click();
    loads.push(
      await page.evaluate(() => {
        const scripts = performance.getEntriesByType('resource') as PerformanceResourceTiming[];
        return {
          paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Number.NaN,
          interactive: performance.now(),
          script: scripts
            .filter(({ name }) => name.endsWith('.js'))
            .reduce((sum, { decodedBodySize }) => sum + decodedBodySize, 0),
        };
      }),
    );
    await page.close();
  }
  const middle = (field: keyof (typeof loads)[number]) => median(loads.map((load) => load[field]));
  const [paint, interactive] = [middle('paint'), middle('interactive')];
  report(
    `the page is painted within ${ms(GOOD.paint)} and usable within ${ms(GOOD.interactive)}`,
    `first contentful paint ${ms(paint)}, prompt box taken a click ${ms(interactive)}, ` +
      `script ${(middle('script') / 1000).toFixed(0)} KB before compression`,
    paint <= GOOD.paint && interactive <= GOOD.interactive,
  );
}

async function benchStream(browser: Browser, url: string): Promise<void> {
  const page = await browser.newPage({ serviceWorkers: 'block' });
  const stream = await streamExecution(page);
  await page.goto(url + stream.path);
  await stream.listening;
  await watchTasks(page);
  const typing = page
    .getByLabel('What should the program do?')
    .pressSequentially('typed while it streams '.repeat(4), {
      delay: 50,
    });
  const program = longProgram(3_000);
  for (let at = 0; at < program.length; at += 2_000) {
    stream.send({ type: 'code.delta', attempt: 1, text: program.slice(at, at + 2_000) });
    await page.waitForTimeout(MESSAGE_PAUSE);
  }
  stream.send({ type: 'run.started', attempt: 1 });
  let chunk = 0;
  for (const text of outputPieces(STREAM_SIZE)) {
    stream.send({ type: 'run.output', attempt: 1, run: 1, chunk: ++chunk, text });
    await page.waitForTimeout(MESSAGE_PAUSE);
  }
  await typing;
  const { longest, delay } = await page.evaluate(() => ({
    longest: Math.max(0, ...window.longTasks),
    delay: Math.max(0, ...window.inputDelays),
  }));
  await page.close();
  report(
    'typing is not disturbed by a program of 3,000 lines and 10 MB of output that stream in',
    `longest task ${ms(longest)}, longest time from a key to its paint ${ms(delay)}`,
    delay <= UNNOTICED,
  );
}

declare global {
  interface Window {
    longTasks: number[];
    inputDelays: number[];
  }
}

/** Notes tasks over 50 ms, and how long each key took to be painted (whole 8 ms). */
async function watchTasks(page: Page): Promise<void> {
  await page.evaluate(() => {
    window.longTasks = [];
    window.inputDelays = [];
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) window.longTasks.push(duration);
    }).observe({ type: 'longtask' });
    const observed: PerformanceObserverInit & { durationThreshold: number } = {
      type: 'event',
      durationThreshold: 16,
    };
    new PerformanceObserver((list) => {
      for (const { name, duration } of list.getEntries())
        if (name === 'keydown') window.inputDelays.push(duration);
    }).observe(observed);
  });
}

if (findChromium()) {
  await buildPage();
  const browser = await launchChromium();
  const product = await startProduct();
  try {
    await benchLoad(browser, product.url);
    await benchStream(browser, product.url);
  } finally {
    await product.close();
    await browser.close();
  }
} else {
  report('the page is quick', 'there is no Chromium here', null);
}
