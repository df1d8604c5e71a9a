/**
 * The product's metrics, as CloudWatch reads them from the log (EMF): namespace RecursiveAiExecutor, dimension
 * `service` (POWERTOOLS_SERVICE_NAME). Each is written at once, so that none is lost with a function that is ended.
 */
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import type { MetricUnit as Unit } from '@aws-lambda-powertools/metrics/types';

const metrics = new Metrics({ namespace: 'RecursiveAiExecutor' });

interface Metric {
  unit: Unit;
  /** The dimension beside `service`. */
  by?: string;
}

const known = {
  /** By its final status. */
  ExecutionsEnded: { unit: MetricUnit.Count, by: 'status' },
  /** Seconds from request to end. */
  ExecutionTime: { unit: MetricUnit.Seconds },
  /** Of an execution that succeeded. */
  AttemptsBeforeSuccess: { unit: MetricUnit.Count },
  /** By error category; `syntax_error` and `policy_violation` are what the check refused. */
  AttemptsFailed: { unit: MetricUnit.Count, by: 'category' },
  /** Seconds from the request to the model until its reply was whole. */
  GenerationTime: { unit: MetricUnit.Seconds },
  PromptTokens: { unit: MetricUnit.Count },
  CompletionTokens: { unit: MetricUnit.Count },
  /** US cents, estimated from the execution's course; without the model. */
  ExecutionCost: { unit: MetricUnit.NoUnit },
  /** Seconds that the code ran. */
  RunTime: { unit: MetricUnit.Seconds },
  /** Seconds from a sandbox's plan until it was ready. */
  SandboxStartTime: { unit: MetricUnit.Seconds },
  /** 1 if an execution got a warm sandbox, 0 if it had to have one started. */
  WarmHit: { unit: MetricUnit.Count },
} as const satisfies Record<string, Metric>;

type Name = keyof typeof known;
type Dimension<N extends Name> = (typeof known)[N] extends { by: string } ? [of: string] : [];

/** Writes a value of a metric; `of` is that of its dimension, if it has one. */
export function measure<N extends Name>(name: N, value: number, ...[of]: Dimension<N>): void {
  const { unit, by }: Metric = known[name];
  const metric = metrics.singleMetric();
  if (by && of) metric.addDimension(by, of);
  metric.addMetric(name, unit, value);
}
