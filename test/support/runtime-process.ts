/** The runtime as a process of its own that a test can kill; prints its URL. */
import { startRuntime } from '../../local/runtime.ts';
import { readSettings } from '../../local/settings.ts';
import { recordCalls } from './record-calls.ts';
import { transport } from './transport.ts';

const runtime = await startRuntime(readSettings(), { transport: transport() });
if (process.env.RECORD_AWS_CALLS) await recordCalls(process.env.RECORD_AWS_CALLS);
process.stdout.write(`${runtime.url}\n`);
