/** Twenty executions at once, against one alone. */
import { python } from '../support/model-server.ts';
import type { Product } from '../support/product.ts';
import { median, ms, ratio, report, timed } from './measure.ts';

const AT_ONCE = 20;

export async function benchConcurrency(product: Product): Promise<void> {
  const run = (n: number) => {
    const prompt = `Concurrent task ${n}.`;
    product.model.replyTo(prompt, python('print(1 / 0)'), python(`print(${n})`));
    return timed(async () => {
      const execution = await product.run({ prompt });
      if (execution.final_result?.output !== `${n}\n`) throw new Error(`execution ${n} was lost or mixed up`);
    });
  };
  const alone = median([await run(101), await run(102), await run(103)]);
  const times = await Promise.all(Array.from({ length: AT_ONCE }, (_, n) => run(n)));
  const slowest = Math.max(...times);
  report(
    `${AT_ONCE} executions at once, none lost, none slower than ${AT_ONCE} × one`,
    `the slowest ${ratio(slowest, alone)} of one alone (${ms(slowest)} against ${ms(alone)})`,
    slowest <= AT_ONCE * alone,
  );
}
