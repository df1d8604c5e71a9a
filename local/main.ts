/** npm start: builds the page if it is not up to date, starts the local runtime, and says where it listens. */
import { ConfigurationError } from '../functions/service/errors.ts';
import { buildWebIfNeeded } from './build-web.ts';
import { loadDotenv } from './dotenv.ts';
import { packagesAdvice, packagesInBrief } from './packages.ts';
import { type Runtime, startRuntime } from './runtime.ts';
import { readSettings, type Settings } from './settings.ts';

async function announce(
  { url, awsUrl, model, sandbox, notices }: Runtime,
  settings: Settings,
): Promise<void> {
  const advice = await packagesAdvice(sandbox.packages, settings);
  const rows = [
    ['page and API', url],
    ['AWS endpoint', awsUrl],
    [
      'model',
      model.demo
        ? 'demo: replays three scenarios; for a real one set OPENAI_API_KEY in .env'
        : `${model.name} at ${model.url}`,
    ],
    [
      'isolation',
      Object.entries(sandbox.isolation)
        .map(([layer, state]) => `${layer} ${state}`)
        .join(', '),
    ],
    ['packages', `${packagesInBrief(sandbox.packages)}; Python ${sandbox.python}`],
    ...(advice ? [['', advice]] : []),
    ['data', settings.dataDir],
  ];
  const lines = rows.map(([name = '', value]) => `  ${name.padEnd(13)} ${value}`);
  for (const notice of notices) process.stderr.write(`\n${notice}\n`);
  process.stdout.write(
    `\nRecursive AI Executor is ready.\n\n${lines.join('\n')}\n\nCtrl-C stops it and everything it started.\n`,
  );
}

/** Resolves with the first signal that asks to stop. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve());
  });
}

try {
  loadDotenv();
  const settings = readSettings();
  await buildWebIfNeeded();
  const stopped = stopSignal();
  const runtime = await startRuntime(settings);
  await announce(runtime, settings);
  await stopped;
  await runtime.close();
  process.exit(0);
} catch (error) {
  if (!(error instanceof ConfigurationError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
}
