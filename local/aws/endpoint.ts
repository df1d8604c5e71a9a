/**
 * The local AWS endpoint: one HTTP server on the loopback interface that speaks the wire protocols of the services
 * that the functions use, so that any AWS SDK or the AWS CLI works against it with AWS_ENDPOINT_URL set.
 *
 *   X-Amz-Target: DynamoDB_20120810.*                      dynamodb/service.ts
 *   X-Amz-Target: AWSStepFunctions.*                       step-functions.ts
 *   X-Amz-Target: AmazonEC2ContainerServiceV20141113.*     ecs.ts
 *   /2015-03-31/functions/{name}/invocations               lambda-api.ts
 *   /@connections/{id}                                     websocket.ts
 *   everything else                                        s3.ts
 *
 * All state is in one folder and survives the end of the process, whatever its reason.
 */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { S3Event } from 'aws-lambda';
import { openDataFolder } from './data-folder.ts';
import { Delivery } from './delivery.ts';
import { Dispatcher } from './dispatcher.ts';
import { createDynamoDb } from './dynamodb/service.ts';
import { Ecs, type EcsOptions, type TaskStateChangeEvent } from './ecs.ts';
import { type EndpointRequest, type EndpointResponse, parseTarget, readBody } from './http.ts';
import { invokeFunction, isInvocation, lambdaError } from './lambda-api.ts';
import { type Log, logToStderr } from './log.ts';
import { ObjectStore } from './object-store.ts';
import { createS3, isUploadForm, s3Error } from './s3.ts';
import { type Credentials, SignatureVerifier } from './sigv4.ts';
import { type ExecutionStatusChangeEvent, StepFunctions } from './step-functions.ts';
import { StorageHealth } from './storage-health.ts';
import { isForConnection, managementError, WebSocketApi } from './websocket.ts';

export interface EndpointOptions {
  /** The folder that holds all state; made if it is missing. */
  dataDir: string;
  /** default: any that is free */
  port?: number;
  stateMachine: {
    arn: string;
    /** Amazon States Language, parsed, valid, all substitutions made. */
    definition: unknown;
    /** Executions of it that run; more wait for their turn. default: any number */
    executionsAtOnce?: number;
  };
  /** Calls a function, for a state of the workflow or for Invoke. An error's `name` is what Retry and Catch match. */
  invoke(functionName: string, payload: unknown): Promise<unknown>;
  /** Hears of every object written, at least once; in order within `mailbox/{id}/`. */
  onObjectCreated(event: S3Event): Promise<void>;
  /** Hears RUNNING and STOPPED of every sandbox task, at least once; in order within a task. */
  onTaskStateChange(event: TaskStateChangeEvent): Promise<void>;
  /** Hears of every workflow execution that ends otherwise than SUCCEEDED, at least once. */
  onWorkflowFailure(event: ExecutionStatusChangeEvent): Promise<void>;
  ecs: EcsOptions;
  /** default: 000000000000 */
  accountId?: string;
  /** default: us-east-1 */
  region?: string;
  /** default: JSON lines on standard error */
  log?: Log;
}

export interface Endpoint {
  /** For AWS_ENDPOINT_URL. */
  url: string;
  port: number;
  region: string;
  /** For AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; the same in every life on the same folder. */
  credentials: Credentials;
  /** What was found in the folder that could not be used, a sentence each. */
  notices: string[];
  /** Whether the disk takes what is written. */
  storage: StorageHealth;
  /** Connections to browsers; the front gives it upgrade requests. */
  webSocket: WebSocketApi;
  /** Answers a request of this process, which needs no signature. Rejects as a closed port does once it is closed. */
  answer(request: EndpointRequest): Promise<EndpointResponse>;
  /**
   * Goes on with what an earlier life left: tells STOPPED of its sandbox tasks, then starts its unfinished workflow
   * executions again. To be called once the functions can run.
   */
  resume(): Promise<void>;
  /** Stops workflows (they stay unfinished), sandboxes and connections, finishes the requests under way, closes the store. */
  close(): Promise<void>;
}

/** bytes; files of sandboxes have at most 10 MiB, so nothing useful comes near it */
const MAX_BODY = 64 * 1024 * 1024;
/** How long `close` waits for requests under way. */
const DRAIN_MS = 1000;

/** Rejects if the port is taken, the folder is in use, or the state machine needs what is not supported. */
export async function startEndpoint(options: EndpointOptions): Promise<Endpoint> {
  const {
    dataDir,
    port = 0,
    accountId: account = '000000000000',
    region = 'us-east-1',
    log = logToStderr,
  } = options;
  const { database, credentials, notices } = openDataFolder(dataDir);
  const trial = database.documents<string>('trial');
  const objectStore = new ObjectStore(path.join(dataDir, 's3'));
  const tryWrite = () => {
    trial.put('trial', 'x'.repeat(100_000));
    objectStore.tryWrite();
  };
  const storage = new StorageHealth(dataDir, tryWrite, log);
  const dynamodb = createDynamoDb(database);
  const webSocket = new WebSocketApi(log);
  try {
    const signatures = new SignatureVerifier(credentials);
    const notifications = new Delivery(
      (event: S3Event) => storage.call(() => options.onObjectCreated(event)),
      log,
    );
    const taskEvents = new Delivery(
      (event: TaskStateChangeEvent) => storage.call(() => options.onTaskStateChange(event)),
      log,
    );
    const workflowEvents = new Delivery(
      (event: ExecutionStatusChangeEvent) => storage.call(() => options.onWorkflowFailure(event)),
      log,
    );
    const ecs = new Ecs(options.ecs, { database, storage, account, region, events: taskEvents, log });
    const stepFunctions = new StepFunctions({
      database,
      storage,
      stateMachineArn: options.stateMachine.arn,
      definition: options.stateMachine.definition,
      executionsAtOnce: options.stateMachine.executionsAtOnce,
      invoke: (name, payload) => storage.call(() => options.invoke(name, payload)),
      runTask: (parameters) => ecs.runTask(parameters),
      secret: credentials.secretAccessKey,
      events: workflowEvents,
      log,
    });
    const s3 = createS3({
      store: objectStore,
      signatures,
      region,
      notifications,
    });
    const dispatcher = new Dispatcher({
      json: [dynamodb, stepFunctions.service, ecs.service],
      others: [
        {
          takes: isInvocation,
          answer: (request) => invokeFunction(request, options.invoke),
          refuse: (_request, error) => lambdaError(error),
        },
        {
          takes: isForConnection,
          answer: (request) => webSocket.manage(request),
          refuse: (_request, error) => managementError(error),
        },
        { takes: () => true, answer: s3.answer, refuse: s3Error, verifies: isUploadForm },
      ],
      signatures,
      storage,
      log,
    });
    let open = true;

    const server = http.createServer((incoming, response) => {
      serve(incoming, response, dispatcher).catch((error) => {
        log('error', 'response not sent', { error: String(error) });
        response.destroy();
      });
    });
    // The SDK's clients keep their connections; one closed under a request would cost a retry.
    server.keepAliveTimeout = 120_000;
    await listen(server, port);
    const actualPort = (server.address() as AddressInfo).port;
    return {
      url: `http://127.0.0.1:${actualPort}`,
      port: actualPort,
      region,
      // A copy: the SDK writes into the credentials it is given.
      credentials: { ...credentials },
      notices,
      storage,
      webSocket,
      async answer(request) {
        if (!open) throw Object.assign(new Error('The endpoint is closed.'), { code: 'ECONNREFUSED' });
        return dispatcher.answer(request);
      },
      async resume() {
        await ecs.resume();
        stepFunctions.resume();
      },
      async close() {
        storage.close();
        stepFunctions.close();
        webSocket.close();
        await ecs.close();
        await Promise.all([notifications, taskEvents, workflowEvents].map((delivery) => delivery.close()));
        open = false;
        s3.close();
        await Promise.all([closeServer(server), withinDrainTime(dispatcher.idle())]);
        dynamodb.close();
        database.close();
      },
    };
  } catch (error) {
    storage.close();
    webSocket.close();
    dynamodb.close();
    database.close();
    throw error;
  }
}

async function serve(
  incoming: IncomingMessage,
  response: ServerResponse,
  dispatcher: Dispatcher,
): Promise<void> {
  const { method = 'GET', url = '/', headers } = incoming;
  let request: EndpointRequest = { method, path: url, query: [], headers, body: Buffer.alloc(0) };
  let answer: Promise<EndpointResponse>;
  try {
    request = { ...request, ...parseTarget(url) };
    request.body = await readBody(incoming, MAX_BODY);
    answer = dispatcher.answerSigned(request);
  } catch (error) {
    if (incoming.destroyed && !incoming.complete) return;
    answer = dispatcher.refuse(request, error);
  }
  const { status, headers: ownHeaders, body = '' } = await answer;
  // A body that was not read to its end makes the connection useless.
  response.writeHead(status, { ...(!incoming.complete && { connection: 'close' }), ...ownHeaders });
  response.end(body);
}

function listen(server: http.Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
}

function closeServer(server: http.Server): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => server.closeAllConnections(), DRAIN_MS);
    server.close(() => {
      clearTimeout(force);
      resolve();
    });
    server.closeIdleConnections();
  });
}

const withinDrainTime = (work: Promise<void>) =>
  Promise.race([work, sleep(DRAIN_MS, undefined, { ref: false })]);
