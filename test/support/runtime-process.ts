/** The runtime as a process of its own that a test can stop, kill and set the clock of; prints its URL. */
import { startRuntime } from '../../local/runtime.ts';
import { readSettings } from '../../local/settings.ts';
import { recordCalls } from './record-calls.ts';
import { setClock } from './set-clock.ts';
import { transport } from './transport.ts';

setClock(Number(process.env.CLOCK_AHEAD ?? 0));
process.on('message', ({ clockAhead }: { clockAhead: number }) => setClock(clockAhead));
const runtime = await startRuntime(readSettings(), { transport: transport() });
if (process.env.RECORD_AWS_CALLS) await recordCalls(process.env.RECORD_AWS_CALLS);
process.once('SIGTERM', async () => {
  await runtime.close();
  process.exit(0);
});
for (const notice of runtime.notices) process.stderr.write(`notice: ${notice}\n`);
process.stdout.write(`${runtime.url}\n`);
