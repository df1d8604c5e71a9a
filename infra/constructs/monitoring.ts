/** The dashboard, the alarms, each with a section of its own in docs/operations.md, and the budget. */
import { Aws, Duration } from 'aws-cdk-lib';
import { CfnBudget } from 'aws-cdk-lib/aws-budgets';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as sns from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';
import { errorCategorySchema } from '../../functions/execution/execution.ts';
import type { Environment } from '../environments.ts';
import type { Api } from './api.ts';
import type { Functions } from './functions.ts';
import type { Storage } from './storage.ts';
import type { Workflow } from './workflow.ts';

/** Where the functions put the product's own metrics; the dimension `service` tells environments apart. */
const NAMESPACE = 'RecursiveAiExecutor';

const CATEGORIES = errorCategorySchema.options;

const ENDED = 'FILL(succeeded, 0) + FILL(failed, 0)';

const { ComparisonOperator, Stats, TreatMissingData } = cloudwatch;

export interface MonitoringProps {
  environment: Environment;
  api: Api;
  functions: Functions;
  storage: Storage;
  workflow: Workflow;
  url: string;
}

interface AlarmProps {
  metric: cloudwatch.IMetric;
  /** What it means, in a sentence. */
  meaning: string;
  threshold: number;
  /** @default greater than the threshold */
  operator?: cloudwatch.ComparisonOperator;
  /** Periods in a row. @default 1 */
  periods?: number;
}

export class Monitoring extends Construct {
  private readonly props: MonitoringProps;
  private readonly topic: sns.Topic;

  constructor(scope: Construct, props: MonitoringProps) {
    super(scope, 'Monitoring');
    this.props = props;
    this.topic = this.createTopic();
    this.createAlarms();
    this.createDashboard();
    this.createBudget();
  }

  private createTopic(): sns.Topic {
    const topic = new sns.Topic(this, 'Alarms', { enforceSSL: true });
    // A policy of ours takes the place of the one that lets the account's alarms publish.
    topic.addToResourcePolicy(
      new iam.PolicyStatement({
        principals: ['cloudwatch', 'budgets'].map(
          (service) => new iam.ServicePrincipal(`${service}.amazonaws.com`),
        ),
        actions: ['sns:Publish'],
        resources: [topic.topicArn],
        conditions: { StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID } },
      }),
    );
    const { alarmEmail } = this.props.environment;
    if (alarmEmail) topic.addSubscription(new EmailSubscription(alarmEmail));
    return topic;
  }

  private createAlarms(): void {
    const { environment, api, functions, storage, workflow } = this.props;
    const { stateMachine } = workflow;
    const five = Duration.minutes(5);
    const quarter = Duration.minutes(15);
    const hour = Duration.hours(1);
    const alarms: Record<string, AlarmProps> = {
      'workflows-fail': {
        meaning: 'Workflows fail or time out without having told their execution why.',
        metric: sum(five, {
          failed: stateMachine.metricFailed({ period: five }),
          timed_out: stateMachine.metricTimedOut({ period: five }),
        }),
        threshold: 0,
      },
      'api-fails': {
        meaning: 'The API answers with errors of its own.',
        metric: api.http.metricServerError({ period: five, statistic: Stats.SUM }),
        threshold: 5,
      },
      'dead-letters': {
        meaning: 'Events were given up: results, stopped sandboxes or ended workflows that nobody took in.',
        metric: functions.deadLetters.metricApproximateNumberOfMessagesVisible({
          period: five,
          statistic: Stats.MAXIMUM,
        }),
        threshold: 0,
      },
      'sandboxes-fail': {
        meaning: 'Attempts fail because of their sandbox.',
        metric: this.failedAttempts('sandbox_error', quarter),
        threshold: 3,
      },
      'sandboxes-start-slowly': {
        meaning: 'One sandbox in ten takes more than two minutes to start.',
        metric: this.metric('SandboxStartTime', 'p90', quarter),
        threshold: 120,
        periods: 2,
      },
      'model-fails': {
        meaning: 'Attempts fail because of the model server: its key, its limits, or an outage.',
        metric: this.failedAttempts('model_error', quarter),
        threshold: 3,
      },
      'few-succeed': {
        meaning: 'Fewer than half of the executions succeed.',
        metric: new cloudwatch.MathExpression({
          label: 'success rate of at least ten executions',
          // A status that did not occur has no data at all.
          expression: `IF(${ENDED} >= 10, FILL(succeeded, 0) / (${ENDED}), 1)`,
          usingMetrics: {
            succeeded: this.ended('succeeded', hour),
            failed: this.ended('failed', hour),
          },
          period: hour,
        }),
        operator: ComparisonOperator.LESS_THAN_THRESHOLD,
        threshold: 0.5,
      },
      'many-tokens': {
        meaning: 'The model is used far more than expected.',
        metric: sum(hour, {
          prompt: this.metric('PromptTokens', Stats.SUM, hour),
          completion: this.metric('CompletionTokens', Stats.SUM, hour),
        }),
        threshold: environment.alarms.tokensPerHour,
      },
      'functions-throttled': {
        meaning: 'Functions are turned away: the account or a function has reached its limit of concurrency.',
        metric: new cloudwatch.Metric({
          namespace: 'AWS/Lambda',
          metricName: 'Throttles',
          statistic: Stats.SUM,
          period: five,
        }),
        threshold: 10,
      },
      'table-throttled': {
        meaning: 'The table turns requests away.',
        metric: sum(five, {
          reads: this.tableMetric(storage, 'ReadThrottleEvents', five),
          writes: this.tableMetric(storage, 'WriteThrottleEvents', five),
        }),
        threshold: 10,
      },
    };
    for (const [name, alarm] of Object.entries(alarms)) this.createAlarm(name, alarm);
  }

  private createAlarm(name: string, { metric, meaning, threshold, operator, periods = 1 }: AlarmProps): void {
    const alarm = new cloudwatch.Alarm(this, name, {
      alarmName: `recursive-ai-executor-${this.props.environment.name}-${name}`,
      alarmDescription: `${meaning} What to do: docs/operations.md#${name}`,
      metric,
      threshold,
      comparisonOperator: operator ?? ComparisonOperator.GREATER_THAN_THRESHOLD,
      evaluationPeriods: periods,
      treatMissingData: TreatMissingData.NOT_BREACHING,
    });
    alarm.addAlarmAction(new SnsAction(this.topic));
  }

  private createDashboard(): void {
    const { api, environment, functions, storage, url, workflow } = this.props;
    const period = Duration.minutes(5);
    const graph = (
      title: string,
      left: cloudwatch.IMetric[],
      more: Partial<cloudwatch.GraphWidgetProps> = {},
    ) => new cloudwatch.GraphWidget({ title, left, width: 8, height: 6, ...more });
    const percentiles = (name: string) =>
      ['p50', 'p90', 'p99'].map((statistic) =>
        this.metric(name, statistic, period).with({ label: `${name} ${statistic}` }),
      );
    const ratio = (label: string, expression: string, usingMetrics: Record<string, cloudwatch.IMetric>) =>
      new cloudwatch.MathExpression({ label, expression, usingMetrics, period });
    const [succeeded, failed, cancelled] = (['succeeded', 'failed', 'cancelled'] as const).map((status) =>
      this.ended(status, period),
    ) as [cloudwatch.Metric, cloudwatch.Metric, cloudwatch.Metric];

    new cloudwatch.Dashboard(this, 'Dashboard', {
      dashboardName: `recursive-ai-executor-${environment.name}`,
      defaultInterval: Duration.days(1),
      widgets: [
        [
          new cloudwatch.TextWidget({
            markdown: `# Recursive AI Executor, ${environment.name}\n${url}\n\nWhat to do about alarms: docs/operations.md`,
            width: 24,
            height: 3,
          }),
        ],
        [
          graph('Executions ended', [succeeded, failed, cancelled], { stacked: true }),
          graph(
            'Success rate',
            [
              ratio('of those not cancelled', `100 * FILL(succeeded, 0) / (${ENDED})`, {
                succeeded,
                failed,
              }),
            ],
            { leftYAxis: { min: 0, max: 100, label: '%', showUnits: false } },
          ),
          graph('Attempts before success', [this.metric('AttemptsBeforeSuccess', 'Average', period)]),
        ],
        [
          graph('Seconds from request to end', percentiles('ExecutionTime')),
          graph('Seconds of generating', percentiles('GenerationTime')),
          graph('Seconds of running', percentiles('RunTime')),
        ],
        [
          graph('Seconds until a sandbox was ready', percentiles('SandboxStartTime')),
          graph(
            'Executions that got a warm sandbox',
            [this.metric('WarmHit', 'Average', period).with({ label: 'share' })],
            { leftYAxis: { min: 0, max: 1 } },
          ),
          graph(
            'Tokens',
            [
              this.metric('PromptTokens', Stats.SUM, period),
              this.metric('CompletionTokens', Stats.SUM, period),
            ],
            { stacked: true },
          ),
        ],
        [
          graph(
            'Failed attempts by category',
            CATEGORIES.map((category) => this.failedAttempts(category, period)),
            { stacked: true },
          ),
          graph('US cents per execution: an estimate, without the model', [
            this.metric('ExecutionCost', 'Average', period).with({ label: 'mean' }),
            this.metric('ExecutionCost', 'p90', period).with({ label: 'p90' }),
          ]),
          graph('Dead letters', [functions.deadLetters.metricApproximateNumberOfMessagesVisible({ period })]),
        ],
        [
          graph('API requests', [
            api.http.metricCount({ period }),
            api.http.metricClientError({ period }),
            api.http.metricServerError({ period }),
          ]),
          graph('Workflows', [
            workflow.stateMachine.metricStarted({ period }),
            workflow.stateMachine.metricFailed({ period }),
            workflow.stateMachine.metricTimedOut({ period }),
          ]),
          graph('Units of the table', [
            this.tableMetric(storage, 'ConsumedReadCapacityUnits', period),
            this.tableMetric(storage, 'ConsumedWriteCapacityUnits', period),
          ]),
        ],
      ],
    });
  }

  private createBudget(): void {
    const { environment } = this.props;
    const subscribers = [{ subscriptionType: 'SNS', address: this.topic.topicArn }];
    const notify = (notificationType: string, threshold: number) => ({
      notification: { notificationType, threshold, comparisonOperator: 'GREATER_THAN' },
      subscribers,
    });
    new CfnBudget(this, 'Budget', {
      budget: {
        budgetName: `recursive-ai-executor-${environment.name}`,
        budgetType: 'COST',
        timeUnit: 'MONTHLY',
        budgetLimit: { amount: environment.budget, unit: 'USD' },
      },
      notificationsWithSubscribers: [notify('ACTUAL', 80), notify('FORECASTED', 100)],
    });
  }

  /** One of the product's own. */
  private metric(
    metricName: string,
    statistic: string,
    period: Duration,
    dimensions = {},
  ): cloudwatch.Metric {
    return new cloudwatch.Metric({
      namespace: NAMESPACE,
      metricName,
      statistic,
      period,
      dimensionsMap: { service: `recursive-ai-executor-${this.props.environment.name}`, ...dimensions },
    });
  }

  private ended(status: 'succeeded' | 'failed' | 'cancelled', period: Duration): cloudwatch.Metric {
    return this.metric('ExecutionsEnded', Stats.SUM, period, { status }).with({ label: status });
  }

  private failedAttempts(category: (typeof CATEGORIES)[number], period: Duration): cloudwatch.Metric {
    return this.metric('AttemptsFailed', Stats.SUM, period, { category }).with({ label: category });
  }

  private tableMetric({ table }: Storage, name: string, period: Duration): cloudwatch.Metric {
    return table.metric(name, { statistic: Stats.SUM, period });
  }
}

function sum(period: Duration, usingMetrics: Record<string, cloudwatch.IMetric>): cloudwatch.MathExpression {
  const names = Object.keys(usingMetrics);
  return new cloudwatch.MathExpression({
    label: names.join(' and '),
    expression: `SUM([${names.map((name) => `FILL(${name}, 0)`).join(', ')}])`,
    usingMetrics,
    period,
  });
}
