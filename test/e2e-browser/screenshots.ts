/**
 * Takes the pictures of the page in docs/images: `npx tsx test/e2e-browser/screenshots.ts`. Runs the product with
 * scripted replies, so that the same states come out each time. Needs Chromium, and a Python (PYTHON) that has
 * matplotlib.
 */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { demoScenarios } from '../../local/demo-scenarios.ts';
import { python } from '../support/model-server.ts';
import { type Product, startProduct } from '../support/product.ts';
import buildPage from './support/build.ts';
import { launchChromium } from './support/chromium.ts';

const IMAGES = fileURLToPath(new URL('../../docs/images', import.meta.url));
const TASK = 'What should the program do?';
const WIDTHS = {
  wide: { width: 1440, height: 900 },
  phone: { width: 390, height: 844 },
};
const THEMES = ['light', 'dark'] as const;

const CHART = `import csv
import math

import matplotlib.pyplot as plt

days = list(range(1, 61))
visitors = [round(200 + 60 * math.sin(day / 9) + day * 1.8) for day in days]

with open("visitors.csv", "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["day", "visitors"])
    writer.writerows(zip(days, visitors))

figure, axes = plt.subplots(figsize=(6, 4))
axes.plot(days, visitors, color="#0f6673", linewidth=2)
axes.fill_between(days, visitors, min(visitors), alpha=0.15, color="#0f6673")
axes.set(title="Visitors per day", xlabel="day", ylabel="visitors")
axes.grid(alpha=0.3)
figure.tight_layout()

print(f"\\x1b[32m{len(days)} days\\x1b[0m, from {min(visitors)} to {max(visitors)} visitors a day")
print(f"mean: \\x1b[1m{sum(visitors) / len(visitors):.1f}\\x1b[0m")`;

type Shot = (page: Page, product: Product, id: Ids) => Promise<void>;
interface Ids {
  quicksort: string;
  chart: string;
}

/** Each picture's state, from an opened start page. */
const SHOTS: Record<string, Shot> = {
  start: async (page) => {
    await page.getByRole('region', { name: 'History' }).getByRole('link').first().waitFor();
  },
  failed: async (page, { url }, { quicksort }) => {
    await page.goto(`${url}/executions/${quicksort}#attempt-1`);
    await page.locator('.failing-note').first().waitFor();
  },
  compared: async (page, { url }, { quicksort }) => {
    await page.goto(`${url}/executions/${quicksort}#attempt-1`);
    await page.getByLabel('Compare with').selectOption('2');
    await page.locator('.monaco-diff-editor .line-insert').first().waitFor();
  },
  result: async (page, { url }, { chart }) => {
    await page.goto(`${url}/executions/${chart}`);
    await page.locator('.monaco-editor .view-line').first().waitFor();
    await page.getByRole('img', { name: /png/ }).waitFor();
    await page.getByRole('cell').first().waitFor();
  },
  writing: async (page, { model }) => {
    const [scenario] = demoScenarios;
    const text = python(scenario?.programs.at(-1) ?? '');
    const prompt = scenario?.prompt ?? '';
    // Held back in the middle of the code.
    model.replyTo(prompt, { text: text.slice(0, 300), pieceSize: 300, ending: 'hang' });
    await page.getByLabel(TASK).fill(prompt);
    await page.getByLabel(TASK).press('Control+Enter');
    await page.locator('.monaco-editor .view-line').nth(4).waitFor();
  },
};

async function prepare(product: Product): Promise<Ids> {
  const scenarios = demoScenarios.slice(1);
  const ids: string[] = [];
  for (const { prompt, programs } of scenarios) {
    product.model.replyTo(prompt, ...programs.map(python));
    ids.push((await product.run({ prompt })).execution_id);
  }
  const prompt =
    'Plot how the number of visitors developed over the last 60 days, and save the numbers as CSV';
  product.model.replyTo(prompt, python(CHART));
  const { execution_id: chart } = await product.run({ prompt, policy: 'standard' });
  return { quicksort: ids[0] ?? '', chart };
}

async function takeAll(product: Product, browser: Browser): Promise<void> {
  const ids = await prepare(product);
  for (const [name, reach] of Object.entries(SHOTS)) {
    for (const [width, viewport] of Object.entries(WIDTHS)) {
      for (const colorScheme of THEMES) {
        const page = await browser.newPage({ viewport, colorScheme, reducedMotion: 'reduce' });
        await page.goto(product.url);
        await page.getByLabel(TASK).waitFor();
        await reach(page, product, ids);
        await page.mouse.move(0, 0);
        await page.waitForTimeout(300);
        const file = path.join(IMAGES, `${name}-${width}-${colorScheme}.png`);
        await page.screenshot({ path: file });
        // What is still being written is in nobody's way then.
        await page.keyboard.press('Escape');
        await page.close();
        process.stdout.write(`${path.relative('.', file)}\n`);
      }
    }
  }
}

await buildPage();
await mkdir(IMAGES, { recursive: true });
const browser = await launchChromium();
const product = await startProduct({ warmSandboxes: 1, env: { OPENAI_MODEL: 'gpt-5-mini' } });
try {
  await takeAll(product, browser);
} finally {
  await browser.close();
  await product.close();
}
