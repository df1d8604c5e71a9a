/** Calls to Step Functions: start, stop, and answer a task that waits with a token. */
import {
  InvalidToken,
  SendTaskFailureCommand,
  SendTaskSuccessCommand,
  StartExecutionCommand,
  StopExecutionCommand,
  TaskDoesNotExist,
  TaskTimedOut,
} from '@aws-sdk/client-sfn';
import { stepFunctions } from '../service/aws.ts';
import { config } from '../service/config.ts';
import { logger } from '../service/logger.ts';

/** Starts the workflow of an execution. Once started, starting it again changes nothing. */
export async function startWorkflow(executionId: string): Promise<void> {
  try {
    await stepFunctions.send(
      new StartExecutionCommand({
        stateMachineArn: config.stateMachineArn,
        name: executionId,
        input: JSON.stringify({ execution_id: executionId }),
      }),
    );
  } catch (error) {
    // It ran, and has ended already.
    if (error instanceof Error && error.name === 'ExecutionAlreadyExists') return;
    throw error;
  }
}

/** Stops the workflow of an execution, if it is under way. */
export async function stopWorkflow(executionId: string): Promise<void> {
  const executionArn = `${config.stateMachineArn.replace(':stateMachine:', ':execution:')}:${executionId}`;
  try {
    await stepFunctions.send(new StopExecutionCommand({ executionArn }));
  } catch (error) {
    if (error instanceof Error && error.name === 'ExecutionDoesNotExist') return;
    throw error;
  }
}

/** Answers a waiting task with its output. */
export function succeedTask(taskToken: string, output: unknown): Promise<void> {
  return answered(
    stepFunctions.send(new SendTaskSuccessCommand({ taskToken, output: JSON.stringify(output) })),
  );
}

/** Tells a waiting task that its sandbox is gone: the state's Catch takes it from there. */
export function loseTask(taskToken: string, cause: string): Promise<void> {
  return answered(stepFunctions.send(new SendTaskFailureCommand({ taskToken, error: 'SandboxLost', cause })));
}

/** An answer that comes late or twice is told in the log and changes nothing. */
async function answered(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (error instanceof TaskTimedOut || error instanceof InvalidToken || error instanceof TaskDoesNotExist) {
      logger.info('task answered before or given up', { error: error.name });
    } else throw error;
  }
}
