/**
 * The HTTP API, of the routes in functions/api/routes.ts, and the WebSocket API. Their stages are named as the paths
 * under which CloudFront serves them, `/api` and `/ws`, so no path is rewritten anywhere.
 *
 * Both refuse who does not come through CloudFront, and so through its firewall: CloudFront sends along a secret, and
 * the functions compare it (API Gateway itself can only with a domain of ours).
 */
import { Aws, Duration, RemovalPolicy, Stack, Validations } from 'aws-cdk-lib';
import { AccessLogFormat, CfnAccount } from 'aws-cdk-lib/aws-apigateway';
import * as apigateway from 'aws-cdk-lib/aws-apigatewayv2';
import {
  HttpJwtAuthorizer,
  HttpLambdaAuthorizer,
  HttpLambdaResponseType,
} from 'aws-cdk-lib/aws-apigatewayv2-authorizers';
import { HttpLambdaIntegration, WebSocketLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { type Route, routes } from '../../functions/api/routes.ts';
import type { Environment } from '../environments.ts';
import { type Functions, type Handler, pascalCase } from './functions.ts';

/** For how long a key that was revoked may still be taken. */
const AUTHORIZER_CACHE = Duration.minutes(5);

export class Api extends Construct {
  readonly http: apigateway.HttpApi;
  readonly webSockets: apigateway.WebSocketApi;
  /** Where functions send to WebSockets. */
  readonly connections: { endpoint: string; arn: string };
  private readonly environment: Environment;

  constructor(scope: Construct, environment: Environment) {
    super(scope, 'Api');
    this.environment = environment;
    const name = `recursive-ai-executor-${environment.name}`;
    this.http = new apigateway.HttpApi(this, 'Http', { apiName: name, createDefaultStage: false });
    this.webSockets = new apigateway.WebSocketApi(this, 'WebSockets', { apiName: `${name}-ws` });
    this.connections = {
      endpoint: `https://${this.domainOf(this.webSockets)}/ws`,
      arn: Stack.of(this).formatArn({
        service: 'execute-api',
        resource: this.webSockets.apiId,
        resourceName: 'ws/POST/@connections/*',
      }),
    };
    const stage = {
      autoDeploy: true,
      throttle: {
        rateLimit: environment.limits.requestsPerSecond,
        burstLimit: environment.limits.burst,
      },
      detailedMetricsEnabled: true,
    };
    new apigateway.HttpStage(this, 'HttpStage', {
      ...stage,
      httpApi: this.http,
      stageName: 'api',
      accessLogSettings: this.accessLogs('http', [
        'requestId',
        'identity.sourceIp',
        'requestTime',
        'httpMethod',
        'routeKey',
        'path',
        'status',
        'responseLength',
        'responseLatency',
        'authorizer.error',
        'integrationErrorMessage',
      ]),
    });
    const webSocketStage = new apigateway.WebSocketStage(this, 'WebSocketStage', {
      ...stage,
      webSocketApi: this.webSockets,
      stageName: 'ws',
      accessLogSettings: this.accessLogs('websockets', [
        'requestId',
        'identity.sourceIp',
        'requestTime',
        'eventType',
        'routeKey',
        'connectionId',
        'status',
        'integrationErrorMessage',
      ]),
    });
    webSocketStage.node.addDependency(this.letApiGatewayLog());
  }

  /** The host of an API, as CloudFront calls it. */
  domainOf(api: apigateway.IHttpApi | apigateway.IWebSocketApi): string {
    return `${api.apiId}.execute-api.${Aws.REGION}.amazonaws.com`;
  }

  /** Adds the routes, each with its function and, unless it is open, the authorizer. */
  addRoutes(functions: Functions): void {
    const authorizer = this.createAuthorizer(functions);
    for (const route of routes as readonly Route[]) {
      const handler = `api/${route.handler}` as Handler;
      const added = this.http.addRoutes({
        path: route.path,
        methods: [route.method as apigateway.HttpMethod],
        integration: new HttpLambdaIntegration(pascalCase(route.handler), functions.get(handler)),
        authorizer: route.open ? new apigateway.HttpNoneAuthorizer() : authorizer,
      });
      if (route.open) for (const httpRoute of added) acknowledgeOpen(httpRoute);
    }
    const integration = (handler: Handler) =>
      new WebSocketLambdaIntegration(pascalCase(handler), functions.get(handler));
    const keys = {
      $connect: 'realtime/connect',
      $disconnect: 'realtime/disconnect',
      $default: 'realtime/message',
    } as const;
    for (const [routeKey, handler] of Object.entries(keys)) {
      this.webSockets.addRoute(routeKey, { integration: integration(handler) });
    }
    Validations.of(this.webSockets).acknowledge({
      id: 'AwsSolutions-APIG4',
      reason:
        'The function of $connect lets in who has the ticket of the execution; a browser can send no header here.',
    });
  }

  private createAuthorizer(functions: Functions): apigateway.IHttpRouteAuthorizer {
    const { auth } = this.environment;
    if (auth.type === 'jwt') {
      return new HttpJwtAuthorizer('Jwt', auth.issuer, { jwtAudience: auth.audience });
    }
    return new HttpLambdaAuthorizer('ApiKey', functions.get('api/authorizer'), {
      responseTypes: [HttpLambdaResponseType.SIMPLE],
      identitySource: ['$request.header.x-api-key'],
      resultsCacheTtl: AUTHORIZER_CACHE,
    });
  }

  /** Access logs as JSON. Queries stay out: a ticket is in one. */
  private accessLogs(name: string, fields: string[]): apigateway.IAccessLogSettings {
    const entries = fields.map((field) => [field.split('.').join('_'), `$context.${field}`]);
    return {
      destination: new apigateway.LogGroupLogDestination(
        new logs.LogGroup(this, `${pascalCase(name)}Logs`, {
          // Only groups below this prefix do without an entry each in a policy of limited size.
          logGroupName: `/aws/vendedlogs/recursive-ai-executor/${this.environment.name}/access/${name}`,
          retention: this.environment.logRetention,
          removalPolicy: RemovalPolicy.DESTROY,
        }),
      ),
      format: AccessLogFormat.custom(JSON.stringify(Object.fromEntries(entries))),
    };
  }

  /**
   * A setting of the account and region, without which a WebSocket API may not log. It stays when the environment
   * goes, because other APIs may rely on it by then.
   */
  private letApiGatewayLog(): CfnAccount {
    const role = new iam.Role(this, 'LogRole', {
      assumedBy: new iam.ServicePrincipal('apigateway.amazonaws.com'),
      managedPolicies: [
        iam.ManagedPolicy.fromAwsManagedPolicyName('service-role/AmazonAPIGatewayPushToCloudWatchLogs'),
      ],
    });
    role.applyRemovalPolicy(RemovalPolicy.RETAIN);
    const account = new CfnAccount(this, 'Account', { cloudWatchRoleArn: role.roleArn });
    account.applyRemovalPolicy(RemovalPolicy.RETAIN);
    Validations.of(role).acknowledge({
      id: 'AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs]',
      reason: 'API Gateway asks for this very policy; it serves every API of the account.',
    });
    return account;
  }
}

function acknowledgeOpen(route: Construct): void {
  Validations.of(route).acknowledge({
    id: 'AwsSolutions-APIG4',
    reason: 'Open on purpose: it tells nothing of any caller (routes.ts says which are).',
  });
}
