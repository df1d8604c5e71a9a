/** What an execution of two attempts asks of AWS, with a warm sandbox and nobody who follows it. */
import { python } from '../support/model-server.ts';
import type { Product } from '../support/product.ts';
import { report } from './measure.ts';
import { stateTransitions } from './transitions.ts';
import { sum, UsageMeter } from './usage.ts';

const PROMISED = { calls: 55, invocations: 13 };

export async function benchCalls(product: Product): Promise<void> {
  const meter = await UsageMeter.start();
  const prompt = 'What does it cost?';
  product.model.replyTo(prompt, python('print(1 / 0)'), python('print(1)'));
  const { body } = await product.call<{ execution_id: string; attempts: number }>('POST', '/api/execute', {
    prompt,
  });
  if (body.attempts !== 2) throw new Error('not as scripted');
  const { calls, invocations, looks } = meter.of(body.execution_id);
  // CheckCode is not in Node.
  const called = sum(invocations) + body.attempts;
  report(
    `two attempts take at most ${PROMISED.calls} AWS calls and ${PROMISED.invocations} invocations`,
    `${sum(calls)} calls, ${looks} of them looks for results; ${called} invocations; ${stateTransitions(2)} billed transitions`,
    sum(calls) <= PROMISED.calls && called <= PROMISED.invocations,
  );
  const most = [...calls].sort(([, a], [, b]) => b - a).map(([call, times]) => `${call} ${times}`);
  process.stdout.write(`${' '.repeat(13)}${most.join(' · ')}\n`);
  const functions = [...invocations].map(([name, times]) => `${name} ${times}`);
  process.stdout.write(`${' '.repeat(13)}${functions.join(' · ')}\n`);
}
