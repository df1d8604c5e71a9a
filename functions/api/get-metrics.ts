/** GET /metrics: what the service has done; Prometheus text for `Accept: text/plain`, else JSON. */
import { apiHandler } from '../core/middleware.ts';
import { type Counters, getCounters } from '../core/store.ts';

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

/** `success_rate` and `average_attempts` are null until there is something to divide by. */
export function toMetrics(counters: Counters) {
  const { started, succeeded, failed, cancelled, total_time } = counters;
  const ended = succeeded + failed + cancelled;
  const ratio = (part: number, whole: number) => (whole === 0 ? null : part / whole);
  return {
    total_executions: started,
    succeeded,
    failed,
    cancelled,
    /** Of those that were not cancelled. */
    success_rate: ratio(succeeded, succeeded + failed),
    /** Attempts before success. */
    average_attempts: ratio(counters.attempts_of_succeeded, succeeded),
    average_time: ratio(total_time, ended),
    error_categories: counters.errors,
    tokens: { prompt: counters.prompt_tokens, completion: counters.completion_tokens },
    /** Seconds that the process which answers has been up. */
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
  metric('uptime_seconds', 'gauge', 'Time that the answering process has been up.', [['', process.uptime()]]);
  return `${lines.join('\n')}\n`;
}
