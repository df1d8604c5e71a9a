/**
 * Many executions of two attempts at once: how many a second, whether none is lost, and whether all are served alike. And
 * the same with programs that import pandas, where the sandbox's Python has it.
 */
import { cpus, loadavg } from 'node:os';
import { config } from '../../functions/service/config.ts';
import { python } from '../support/model-server.ts';
import type { Product } from '../support/product.ts';
import { median, ms, ratio, report, timed } from './measure.ts';

const AT_ONCE = [20, 100];

interface Kind {
  name: string;
  /** Executions a second that are promised. */
  promised: number;
  fails: string;
  works(n: number): string;
}

const PLAIN: Kind = {
  name: 'plain',
  promised: 10,
  fails: 'print(1 / 0)',
  works: (n) => `print(${n})`,
};
const PANDAS: Kind = {
  name: 'with pandas',
  promised: 8,
  fails: 'import pandas as pd\nprint(pd.Series([1])["a"])',
  works: (n) => `import pandas as pd\nprint(pd.Series([${n}]).sum())`,
};

let tasks = 0;

export async function benchConcurrency(product: Product): Promise<void> {
  const kinds = config.sandboxPackages.some(({ name }) => name === 'pandas') ? [PLAIN, PANDAS] : [PLAIN];
  for (const kind of kinds) {
    const alone = median([await run(product, kind), await run(product, kind), await run(product, kind)]);
    for (const atOnce of AT_ONCE) await benchAtOnce(product, kind, atOnce, alone);
  }
  if (!kinds.includes(PANDAS)) {
    const how = 'set PYTHON to a Python that has it, as that of `npm run packages`';
    report('executions a second with pandas', how, null);
  }
}

async function benchAtOnce(product: Product, kind: Kind, atOnce: number, alone: number): Promise<void> {
  const cpu = process.cpuUsage();
  let times: number[] = [];
  const total = await timed(async () => {
    times = await Promise.all(Array.from({ length: atOnce }, () => run(product, kind)));
  });
  const { user, system } = process.cpuUsage(cpu);
  const rate = (atOnce / total) * 1000;
  const slowest = Math.max(...times);
  report(
    `${atOnce} executions at once, ${kind.name}: none lost, at least ${kind.promised} a second`,
    [
      `${rate.toFixed(1)} a second`,
      `the slowest ${ratio(slowest, alone)} of one alone (${ms(alone)})`,
      `${ratio(slowest, median(times))} of the median`,
      `${ms((user + system) / 1000 / atOnce)} of CPU each in the runtime's process`,
      `load ${loadavg()[0]?.toFixed(1)} on ${cpus().length} cores`,
    ].join(', '),
    rate >= kind.promised,
  );
}

/** One execution to its end; gives its milliseconds. @throws Error if it is lost or mixed up with another */
function run(product: Product, { fails, works }: Kind): Promise<number> {
  const n = ++tasks;
  const prompt = `Concurrent task ${n}.`;
  product.model.replyTo(prompt, python(fails), python(works(n)));
  return timed(async () => {
    const { final_result, error } = await product.run({ prompt });
    if (final_result?.output !== `${n}\n`) throw new Error(`execution ${n} was lost or mixed up: ${error}`);
  });
}
