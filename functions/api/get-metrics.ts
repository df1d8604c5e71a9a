/** GET /metrics: what the service has done; Prometheus text for `Accept: text/plain`, else JSON. */
import * as z from 'zod';
import { PRICES_OF } from '../execution/prices.ts';
import { apiHandler } from '../http/middleware.ts';
import { type Counters, getCounters } from '../service/counters.ts';

export const handler = apiHandler(async ({ headers }) => {
  const counters = await getCounters();
  if (prefersText(headers.accept)) {
    return {
      status: 200,
      body: toPrometheus(counters),
      headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' },
    };
  }
  return { status: 200, body: toMetrics(counters) };
});

function prefersText(accept = ''): boolean {
  const text = accept.indexOf('text/plain');
  const json = accept.indexOf('application/json');
  return text >= 0 && (json < 0 || text < json);
}

const count = (description: string) => z.int().meta({ description });
const whereKnown = (description: string) => z.number().nullable().meta({ description });

export const metricsSchema = z
  .object({
    total_executions: count('Executions accepted.'),
    succeeded: z.int(),
    failed: z.int(),
    cancelled: z.int(),
    success_rate: whereKnown('Of those that were not cancelled. Null until there is one.'),
    average_attempts: whereKnown('Attempts before success. Null until there is one.'),
    average_time: whereKnown('Seconds from request to end. Null until there is one.'),
    error_categories: z.record(z.string(), z.int()),
    tokens: z.object({ prompt: z.int(), completion: z.int() }),
    cost: z
      .object({
        estimated_usd: z.number().meta({ description: 'US dollars, in all.' }),
        cents_per_execution: z.number().meta({ description: 'US cents.' }),
        executions: count('Executions that it is of.'),
        prices: z.string().meta({ description: 'Where and when they hold. Other regions cost more.' }),
      })
      .nullable()
      .meta({
        description:
          'What ended executions cost on AWS, without the model: an estimate from the course of each. Null where ' +
          'nothing is billed, as in the local runtime, and until one has ended.',
      }),
    uptime: z.number().meta({ description: 'Seconds that the process which answers has been up.' }),
  })
  .meta({ id: 'Metrics' });

export function toMetrics(counters: Counters): z.infer<typeof metricsSchema> {
  const { started, succeeded, failed, cancelled, total_time, cost, costed } = counters;
  const ended = succeeded + failed + cancelled;
  const ratio = (part: number, whole: number) => (whole === 0 ? null : part / whole);
  return {
    total_executions: started,
    succeeded,
    failed,
    cancelled,
    success_rate: ratio(succeeded, succeeded + failed),
    average_attempts: ratio(counters.attempts_of_succeeded, succeeded),
    average_time: ratio(total_time, ended),
    error_categories: counters.errors,
    tokens: { prompt: counters.prompt_tokens, completion: counters.completion_tokens },
    cost:
      costed === 0
        ? null
        : {
            estimated_usd: cost,
            cents_per_execution: (100 * cost) / costed,
            executions: costed,
            prices: PRICES_OF,
          },
    uptime: process.uptime(),
  };
}

function toPrometheus(counters: Counters): string {
  const lines: string[] = [];
  const metric = (
    name: string,
    type: 'counter' | 'gauge',
    help: string,
    values: [labels: string, value: number][],
  ) => {
    const full = `executor_${name}`;
    lines.push(`# HELP ${full} ${help}`, `# TYPE ${full} ${type}`);
    for (const [labels, value] of values) lines.push(`${full}${labels} ${value}`);
  };
  metric('executions_started_total', 'counter', 'Executions accepted.', [['', counters.started]]);
  metric('executions_ended_total', 'counter', 'Executions ended, by status.', [
    ['{status="succeeded"}', counters.succeeded],
    ['{status="failed"}', counters.failed],
    ['{status="cancelled"}', counters.cancelled],
  ]);
  metric('attempts_of_succeeded_total', 'counter', 'Attempts of the executions that succeeded.', [
    ['', counters.attempts_of_succeeded],
  ]);
  metric('execution_seconds_total', 'counter', 'Time from request to end, summed.', [
    ['', counters.total_time],
  ]);
  metric(
    'failures_total',
    'counter',
    'Failed executions, by the category of the last error.',
    Object.entries(counters.errors).map(([category, number]) => [`{category="${category}"}`, number]),
  );
  metric('tokens_total', 'counter', 'Tokens as the model server counted them.', [
    ['{kind="prompt"}', counters.prompt_tokens],
    ['{kind="completion"}', counters.completion_tokens],
  ]);
  if (counters.costed > 0) {
    const help = `Estimated cost on AWS in US dollars, without the model; prices of ${PRICES_OF}.`;
    metric('estimated_cost_usd_total', 'counter', help, [['', counters.cost]]);
    metric('costed_executions_total', 'counter', 'Ended executions that the estimated cost is of.', [
      ['', counters.costed],
    ]);
  }
  metric('uptime_seconds', 'gauge', 'Time that the answering process has been up.', [['', process.uptime()]]);
  return `${lines.join('\n')}\n`;
}
