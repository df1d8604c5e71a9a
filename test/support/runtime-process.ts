/** The runtime as a process of its own that a test can kill; prints its URL. */
import { startRuntime } from '../../local/runtime.ts';
import { readSettings } from '../../local/settings.ts';

const runtime = await startRuntime(readSettings());
process.stdout.write(`${runtime.url}\n`);
